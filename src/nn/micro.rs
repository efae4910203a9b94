//! A step in micro-batches. The network sees some images of a step at a time, while the loss is over all of them, and
//! the gradient is exact (GradCache, Gao et al. 2021, arXiv 2101.06983, section 3). A step is up to four recordings
//! over one state:
//!
//! 1. [`Pass::Embed`], for each micro-batch: runs the network and keeps what it makes.
//! 2. [`Pass::Loss`], once: computes the gradient of the loss with respect to what was kept.
//! 3. [`Pass::Backward`], for each micro-batch: runs the network again and goes backward from that gradient. The
//!    gradients of the parameters are added up.
//! 4. [`Pass::Update`], once: guard, optimizer, teachers, queues and metrics.
//!
//! A loss that is a mean over images needs only 3 and 4, because its gradient is the mean of the micro-batches'
//! gradients.
//!
//! In f16 the loss is scaled where its gradient begins, in 2 or, for a mean, in 3. The scale is that of the whole step,
//! so the sums are of one scale, and 4 divides them by it and moves it.
//!
//! Batch norm sees one micro-batch at a time. Its running statistics move once, in 4, towards those of the whole batch.
//! Those are merged from each micro-batch's mean and biased variance (Chan et al. 1979, eq. 2.1). What is kept between
//! the recordings is in no checkpoint, because a step begins and ends without it.

use super::optimizer::{current, expect_all};
use crate::base::{DType, Error, Result, Shape};
use crate::kernels::enqueue::Enqueue;
use crate::kernels::loss_scale::LossScale;
use crate::kernels::reduce::Reduction;
use crate::tape::{Tape, Type, Var};

/// How the names of states begin that hold nothing of use after a step.
const SCRATCH: &str = "micro.";
/// The input of a recording that runs for each micro-batch: the number of the micro-batch, from 0, u32 [1].
pub const INDEX: &str = "micro_batch";
/// The scope that sets the sums of gradients to 0. It has no guard, so that sums that are not finite are cleared, too.
const SCOPE: &str = "micro";

/// One of the recordings of a step in micro-batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Runs the network on a micro-batch, and keeps what the loss reads of it.
    Embed,
    /// Computes the loss over all images, and its gradient.
    Loss,
    /// Runs the network on a micro-batch again, and computes its gradient.
    Backward,
    /// Does what happens once in a step: guard, optimizer, teachers, queues and metrics.
    Update,
}

/// Whether a state holds nothing of use after a step. No checkpoint holds it.
pub fn is_scratch(state: &str) -> bool {
    state.starts_with(SCRATCH)
}

/// A recording of a step in micro-batches in progress.
#[derive(Clone, Debug)]
pub struct Micro {
    batches: usize,
    pass: Pass,
    loss_scale: Option<LossScale>,
    cut: Option<Cut>,
    /// For each batch norm so far: the means and the variances of the micro-batch, in one row.
    statistics: Vec<Var>,
    /// The input [`INDEX`].
    index: Option<Var>,
    /// Names and types of the sums of gradients that were read so far.
    sums: Vec<(String, Type)>,
}

/// Where the loss over all images begins.
#[derive(Clone, Debug)]
enum Cut {
    /// What the network makes of a micro-batch, and the states that hold the same of all micro-batches.
    Values { own: Vec<Var>, kept: Vec<Var> },
    /// The means over a micro-batch: first the loss, then its terms.
    Means(Vec<Var>),
}

impl Micro {
    /// A recording for a step of `batches` micro-batches, whose loss is scaled by `loss_scale`.
    pub fn new(batches: usize, pass: Pass, loss_scale: Option<LossScale>) -> Micro {
        Micro { batches, pass, loss_scale, cut: None, statistics: Vec::new(), index: None, sums: Vec::new() }
    }

    /// How many micro-batches a step has.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// How the loss was scaled whose gradients are summed.
    pub fn loss_scale(&self) -> Option<LossScale> {
        self.loss_scale
    }

    /// It is an error if the recording did not say where its loss over all images begins. The message names the method
    /// and the config key.
    pub fn expect_cut(&self, method: &str, key: &str) -> Result<()> {
        match self.cut {
            Some(_) => Ok(()),
            None => Err(Error::Usage(format!("{method} takes no micro-batches: use {key} = 0"))),
        }
    }

    /// Whether the loss is a mean over images. Then [`Pass::Embed`] and [`Pass::Loss`] are not needed.
    pub fn is_mean(&self) -> bool {
        matches!(self.cut, Some(Cut::Means(_)))
    }

    fn expect_no_cut(&self) -> Result<()> {
        match self.cut {
            None => Ok(()),
            Some(_) => Err(Error::Failed(
                "a recording may call whole_batch or mean_over_images only once; give it all values at once".into(),
            )),
        }
    }

    /// The values of all micro-batches in place of `own`, which are those of one micro-batch of `images` images. A
    /// value f32 [k · images, ..] becomes [k · batches · images, ..], and image i of view v has row v · batches ·
    /// images + i.
    pub(super) fn gathered(&mut self, t: &mut Tape, images: usize, own: &[Var]) -> Result<Vec<Var>> {
        self.expect_no_cut()?;
        let (mut kept, mut gathered) = (Vec::new(), Vec::new());
        for (i, &value) in own.iter().enumerate() {
            let shape = t.shape(value);
            let rows = shape.dims().first().map_or(0, |&d| d as usize);
            t.ty(value).expect_dtype("whole_batch", "a value", DType::F32)?;
            if rows == 0 || !rows.is_multiple_of(images) {
                let what = format!("a value {shape} has no rows for each of {images} images");
                return Err(Error::shape("whole_batch", what));
            }
            let (views, width, n) = (rows / images, shape.numel() / rows, self.batches);
            let all = t.state(&embedding(t, i), Type::f32([n, shape.numel()]))?;
            kept.push(all);
            let x = t.reshape(all, [n, views, images * width])?;
            let x = if views > 1 { t.permute(x, &[1, 0, 2])? } else { x };
            let mut dims: Vec<usize> = shape.dims().iter().map(|&d| d as usize).collect();
            dims[0] = rows * n;
            gathered.push(t.reshape(x, Shape::new(&dims))?);
        }
        self.cut = Some(Cut::Values { own: own.to_vec(), kept });
        Ok(gathered)
    }

    /// The means over all images in place of `own`, the means over a micro-batch, f32 [1] each. The first is the loss.
    pub(super) fn averaged(&mut self, t: &mut Tape, own: &[Var]) -> Result<Vec<Var>> {
        self.expect_no_cut()?;
        self.cut = Some(Cut::Means(own.to_vec()));
        if self.pass != Pass::Update {
            return Ok(own.to_vec());
        }
        let all = t.state(&named(t, "losses"), Type::f32([self.batches, own.len()]))?;
        let means = t.reduce(all, Reduction::Mean, &[0], false)?;
        (0..own.len()).map(|i| t.slice(means, 0, i, 1)).collect()
    }

    /// The mean and the biased variance of all micro-batches together, in the shapes of `own`, those of one
    /// micro-batch. `None` in passes that do not know them yet. The running statistics move towards them.
    pub(super) fn statistics(&mut self, t: &mut Tape, own: [Var; 2]) -> Result<Option<[Var; 2]>> {
        let (shape, name) = (t.shape(own[0]), statistics(t, self.statistics.len()));
        let width = shape.numel();
        let [mean, var] = own.map(|v| t.reshape(v, [1, width]));
        let row = t.concat(&[mean?, var?], 1)?;
        self.statistics.push(row);
        if self.pass != Pass::Update {
            return Ok(None);
        }
        let all = t.state(&name, Type::f32([self.batches, 2 * width]))?;
        let (means, variances) = (t.slice(all, 1, 0, width)?, t.slice(all, 1, width, width)?);
        let counts = t.fill([self.batches], 1.0)?; // all micro-batches have the same size
        let [mean, var] = t.merge_statistics(means, variances, counts)?.map(|v| t.reshape(v, shape));
        Ok(Some([mean?, var?]))
    }

    /// Ends [`Pass::Embed`]: keeps what the network made of the micro-batch, and the statistics of batch norm.
    pub fn keep_embeddings(&mut self, t: &mut Tape) -> Result<()> {
        t.forget_assigns();
        if let Some(Cut::Values { own, .. }) = self.cut.clone() {
            for (i, value) in own.into_iter().enumerate() {
                let width = t.shape(value).numel();
                let row = t.reshape(value, [1, width])?;
                self.keep(t, &embedding(t, i), row)?;
            }
        }
        self.keep_statistics(t)?;
        t.forget_unread_inputs();
        Ok(())
    }

    fn keep_statistics(&mut self, t: &mut Tape) -> Result<()> {
        for (i, row) in self.statistics.clone().into_iter().enumerate() {
            self.keep(t, &statistics(t, i), row)?;
        }
        Ok(())
    }

    /// Puts `row` [1, width] into the state's row for the micro-batch.
    fn keep(&mut self, t: &mut Tape, name: &str, row: Var) -> Result<()> {
        let all = t.state(name, Type::f32([self.batches, t.shape(row).dim(1)]))?;
        let index = self.index(t)?;
        let kept = t.apply1(Enqueue, &[all, row, index])?;
        t.assign(name, kept)
    }

    fn index(&mut self, t: &mut Tape) -> Result<Var> {
        match self.index {
            Some(index) => Ok(index),
            None => Ok(*self.index.insert(t.input(INDEX, Type::u32([1]))?)),
        }
    }

    /// Ends [`Pass::Loss`]: keeps the gradient of `loss`, scaled, with respect to each value that it reads. Returns the indices
    /// of the values that have a gradient. It is an error if the loss depends on a parameter in `trained`, because that
    /// parameter's gradient would be lost.
    pub fn keep_gradient(&mut self, t: &mut Tape, loss: Var, trained: &[String]) -> Result<Vec<usize>> {
        t.forget_assigns();
        let Some(Cut::Values { kept, .. }) = self.cut.clone() else { return Ok(Vec::new()) };
        let parameters = trained.iter().map(|name| current(t, name)).collect::<Result<Vec<_>>>()?;
        let loss_scale = self.loss_scale.map(|op| t.loss_scale(op)).transpose()?;
        let found = t.backward(&[loss], &[loss_scale], &[&kept[..], &parameters].concat())?;
        let (by_values, by_parameters) = found.split_at(kept.len());
        if let Some(at) = by_parameters.iter().position(Option::is_some) {
            let name = &trained[at];
            return Err(Error::Failed(format!(
                "{name} is trained and recorded after Recorder::whole_batch; record every trained layer before it"
            )));
        }
        let mut wanted = Vec::new();
        for (i, gradient) in by_values.iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            let name = gradient_of(t, i);
            t.state(&name, t.ty(*gradient))?;
            t.assign(&name, *gradient)?;
            wanted.push(i);
        }
        t.forget_unread_inputs();
        Ok(wanted)
    }

    /// Ends [`Pass::Backward`]: adds the gradient of each parameter in `trained` to its sum. `wanted` are the indices
    /// of the values for which the loss has a gradient.
    pub fn add_gradients(&mut self, t: &mut Tape, trained: &[String], wanted: &[usize]) -> Result<()> {
        t.forget_assigns();
        let (outputs, cotangents) = match self.cut.clone() {
            Some(Cut::Values { own, .. }) => {
                let index = self.index(t)?;
                let outputs: Vec<Var> = wanted.iter().map(|&i| own[i]).collect();
                let mut cotangents = Vec::new();
                for (&i, &value) in wanted.iter().zip(&outputs) {
                    let shape = t.shape(value);
                    let all = t.state(&gradient_of(t, i), Type::f32([self.batches, shape.numel()]))?;
                    let row = t.gather(all, index)?;
                    cotangents.push(Some(t.reshape(row, shape)?));
                }
                (outputs, cotangents)
            }
            Some(Cut::Means(losses)) => {
                let share = t.fill([1], 1.0 / self.batches as f32)?;
                let share = match self.loss_scale {
                    Some(op) => {
                        let scale = t.loss_scale(op)?;
                        t.mul(share, scale)?
                    }
                    None => share,
                };
                let row = t.concat(&losses, 0)?;
                let row = t.reshape(row, [1, losses.len()])?;
                self.keep(t, &named(t, "losses"), row)?;
                self.keep_statistics(t)?;
                (vec![losses[0]], vec![Some(share)])
            }
            None => (Vec::new(), Vec::new()),
        };
        let parameters = trained.iter().map(|name| current(t, name)).collect::<Result<Vec<_>>>()?;
        let found = t.backward(&outputs, &cotangents, &parameters)?;
        for (name, gradient) in trained.iter().zip(expect_all(trained, found)?) {
            let sum = sum_of(t, name);
            let before = t.state(&sum, t.ty(gradient))?;
            let after = t.add(before, gradient)?;
            t.assign(&sum, after)?;
        }
        t.forget_unread_inputs();
        Ok(())
    }

    /// In [`Pass::Update`]: the gradients of `trained`, summed over all micro-batches, in the order of `trained`.
    pub fn gradients(&mut self, t: &mut Tape, trained: &[String]) -> Result<Vec<Var>> {
        let mut gradients = Vec::new();
        for name in trained {
            let parameter = current(t, name)?;
            let (sum, ty) = (sum_of(t, name), t.ty(parameter));
            gradients.push(t.state(&sum, ty)?);
            self.sums.push((sum, ty));
        }
        Ok(gradients)
    }

    /// Ends [`Pass::Update`], outside any scope: sets the sums of gradients to 0.
    pub fn begin_anew(&mut self, t: &mut Tape) -> Result<()> {
        let sums = std::mem::take(&mut self.sums);
        t.scope(SCOPE, |t| {
            let mut zeros: Vec<(Type, Var)> = Vec::new();
            for (name, ty) in &sums {
                let zero = match zeros.iter().find(|z| z.0 == *ty) {
                    Some(zero) => zero.1,
                    None => {
                        zeros.push((*ty, t.fill(ty.shape, 0.0)?));
                        zeros[zeros.len() - 1].1
                    }
                };
                t.assign(name, zero)?;
            }
            Ok(())
        })?;
        t.forget_unread_inputs();
        Ok(())
    }
}

/// The name of a state in which a turn keeps something during a step.
fn named(t: &Tape, what: &str) -> String {
    format!("{SCRATCH}{}", t.scoped(what))
}

fn embedding(t: &Tape, i: usize) -> String {
    named(t, &format!("embedding.{i}"))
}

fn gradient_of(t: &Tape, i: usize) -> String {
    named(t, &format!("embedding.{i}.gradient"))
}

fn statistics(t: &Tape, i: usize) -> String {
    named(t, &format!("statistics.{i}"))
}

fn sum_of(t: &Tape, parameter: &str) -> String {
    named(t, &format!("gradient.{parameter}"))
}
