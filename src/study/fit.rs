//! Whether a stage fits the device, known from shapes before any tensor is filled, and the stage's plans if it does.

use super::batches::Batches;
use super::config::LastBatch;
use super::saved::read_back_bytes;
use super::session::Job;
use crate::base::text::counted;
use crate::base::{Error, Result};
use crate::nn::init::{Param, Params};
use crate::nn::optimization::Scaling;
use crate::nn::{Model, Optimization};
use crate::tape::demand::{Misfit, misfit_beside};
use crate::tape::{Plan, Schedule, State, Tape};

/// The batches that a step can have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// The smallest batch.
    pub least: usize,
    /// Each batch is a multiple of this, the smallest, too.
    pub multiple: usize,
}

impl Sizes {
    /// Any batch from `least` on.
    pub const fn from(least: usize) -> Sizes {
        Sizes { least, multiple: 1 }
    }

    /// Multiples of `multiple`, at least twice that, so that each part has two images.
    pub const fn multiples(multiple: usize) -> Sizes {
        Sizes { least: 2 * multiple, multiple }
    }
}

impl Job<'_> {
    /// Says that steps take fewer images than wanted, if they do.
    pub(super) fn say_batch(&self, wanted: usize, batch: usize, images: usize) {
        if wanted > batch {
            let takes = if batch == images { "them all".to_string() } else { format!("{batch} of them") };
            self.progress
                .note(&format!("batch_size is {wanted} and there are {images} training images: a step takes {takes}"));
        }
    }

    /// Says the learning rate of a stage whose steps take `batch` images, and how it was computed, where it is not as the
    /// config has it.
    pub(super) fn say_rate(&self, o: &Optimization, batch: usize) {
        if o.epochs > 0 && o.lr_scaling != Scaling::None {
            self.progress.note(&o.rate_in_words(batch));
        }
    }

    /// Says that steps take fewer images than wanted, if they do, and how many images an epoch leaves out.
    pub(super) fn say_batches(&self, o: &Optimization, batches: Batches) {
        self.say_batch(o.batch_size, batches.whole, batches.images);
        let (steps, size) = (batches.steps(), batches.whole);
        match (batches.images - batches.taken(steps), batches.last) {
            (0, _) => {}
            _ if o.epochs == 0 => {}
            (_, LastBatch::Keep) => self.progress.note(
                "the last batch of an epoch would be one image, which has no batch statistics: it is left out, another \
                 one in each epoch",
            ),
            (left, LastBatch::Drop) => self.progress.note(&format!(
                "an epoch has {} of {size} images and leaves out {left} of {} training images, other ones each time",
                counted(steps, "step"),
                batches.images
            )),
        }
    }

    /// Refuses parameters that no step could train on this device. The error names the config's key that makes them so
    /// large: a key of the method, which `size_key` knows, or else the backbone's. It is called while a step is
    /// recorded, so that sizes beyond all bounds end the recording.
    pub(super) fn expect_bearable(
        &self,
        params: &Params,
        o: &Optimization,
        model: &Model,
        size_key: &dyn Fn(&Param) -> Option<String>,
    ) -> Result<()> {
        let Some((largest, why)) = params.misfit(self.gpu, o.optimizer()?.moments()) else { return Ok(()) };
        let (sized, value) = model.size_key();
        let key = match size_key(largest) {
            Some(key) => format!("{key} is"),
            None if ["backbone.fc.", "backbone.head."].iter().any(|layer| largest.name.contains(layer)) => {
                format!("{} classes with {sized} = {value} are", largest.ty.shape.dim(0))
            }
            None => format!("{sized} = {value} is"),
        };
        Err(Error::Usage(format!("{key} too large: {why}; use a smaller one{}", why.or_budget())))
    }

    /// Compiles what `record` records for a batch. If that does not fit the device, the error names the largest value
    /// of the config's `key` that fits and is at least `least`.
    pub(super) fn compile(
        &self,
        state: &State,
        key: &str,
        batch: usize,
        sizes: Sizes,
        record: &dyn Fn(usize) -> Result<Vec<Tape>>,
    ) -> Result<Vec<Plan>> {
        let all = self.fitting(state, key, batch, sizes, record)?;
        // The first plans may only read what a later one updates; a plan holds tensors where they are.
        all.iter().try_for_each(|s| state.arrange(self.gpu, &s.arenas).map(drop))?;
        all.into_iter().map(|s| Plan::new(self.gpu, s, state)).collect()
    }

    /// The schedules that [`Job::compile`] compiles. Tensors that `state` still lacks count, so if this is called
    /// before they are filled, it refuses what will not fit afterwards.
    pub(super) fn fitting(
        &self,
        state: &State,
        key: &str,
        batch: usize,
        sizes: Sizes,
        record: &dyn Fn(usize) -> Result<Vec<Tape>>,
    ) -> Result<Vec<Schedule>> {
        self.fitting_or(state, key, batch, sizes, record, &|| Ok(String::new()))
    }

    /// As [`Job::fitting`]. `other` gives another way out, for the error if the batch does not fit.
    pub(super) fn fitting_or(
        &self,
        state: &State,
        key: &str,
        batch: usize,
        Sizes { least, multiple }: Sizes,
        record: &dyn Fn(usize) -> Result<Vec<Tape>>,
        other: &dyn Fn() -> Result<String>,
    ) -> Result<Vec<Schedule>> {
        let schedules = |b: usize| record(b)?.iter().map(|t| self.scheduled(t)).collect::<Result<Vec<_>>>();
        let all = schedules(batch)?;
        let Some(why) = self.misfit(&all, state) else { return Ok(all) };
        let at = |b: usize| Ok::<_, Error>(self.misfit(&schedules(b)?, state));
        let hint = if self.fits_recomputed(state, &record(batch)?)? {
            "with run.recompute = true they fit and take longer; "
        } else {
            ""
        };
        let other = other()?;
        // The smallest batch may fail for another reason than this batch.
        let of_least = if batch > least { at(least)? } else { Some(why.clone()) };
        let way_out = match of_least {
            None => {
                let fits = |n: usize| Ok(at(n * multiple)?.is_none());
                let largest = last_that_fits(least / multiple, batch.div_ceil(multiple), &fits)?;
                format!("the largest {key} that fits is {}", largest * multiple)
            }
            Some(of_least) => {
                let (more, (sized, _)) = (of_least.or_budget(), self.config.model.size_key());
                format!("no {key} is small enough: use a smaller data.image_size or {sized}{more}")
            }
        };
        Err(Error::Usage(format!("{batch} images a step ({key}) do not fit: {why}; {hint}{other}{way_out}")))
    }

    /// The largest part of a batch that is below `most`, divides the batch, and whose recordings, which `record` makes,
    /// fit. `None` if no part of at least `least` fits.
    pub(super) fn largest_part(
        &self,
        state: &State,
        (batch, most): (usize, usize),
        Sizes { least, multiple }: Sizes,
        record: &dyn Fn(usize) -> Result<Vec<Tape>>,
    ) -> Result<Option<usize>> {
        let takes = |n: &usize| batch.is_multiple_of(*n) && n.is_multiple_of(multiple);
        let sizes: Vec<usize> = (least..most).filter(takes).collect();
        let fits = |n: usize| self.fits(state, &record(sizes[n])?);
        match sizes.len() {
            0 => Ok(None),
            _ if !fits(0)? => Ok(None),
            n => Ok(Some(sizes[last_that_fits(0, n, &fits)?])),
        }
    }

    /// Why plans of these schedules do not fit the device beside `state` and a checkpoint's buffer.
    fn misfit(&self, schedules: &[Schedule], state: &State) -> Option<Misfit> {
        misfit_beside(self.gpu, schedules, state, read_back_bytes(schedules, state))
    }

    /// Whether plans of these tapes fit the device beside `state`.
    pub(super) fn fits(&self, state: &State, tapes: &[Tape]) -> Result<bool> {
        let schedules = tapes.iter().map(|t| self.scheduled(t)).collect::<Result<Vec<_>>>()?;
        Ok(self.misfit(&schedules, state).is_none())
    }

    /// Whether tapes that do not fit would fit if values were computed again. False if they are computed again already.
    fn fits_recomputed(&self, state: &State, tapes: &[Tape]) -> Result<bool> {
        if self.config.run.recompute {
            return Ok(false);
        }
        let schedules = tapes.iter().map(|t| self.schedule_by(t, true)).collect::<Result<Vec<_>>>()?;
        Ok(self.misfit(&schedules, state).is_none())
    }

    /// The largest batch that fits, is at most `most`, and is a multiple. `batch` must fit.
    pub(super) fn largest_batch(
        &self,
        state: &State,
        (batch, most): (usize, usize),
        Sizes { multiple, .. }: Sizes,
        record: &dyn Fn(usize) -> Result<Vec<Tape>>,
    ) -> Result<usize> {
        let fits = |n: usize| self.fits(state, &record(n * multiple)?);
        let (mut low, most) = (batch / multiple, most / multiple);
        while low < most {
            let next = (2 * low).min(most);
            if !fits(next)? {
                return Ok(multiple * last_that_fits(low, next, &fits)?);
            }
            low = next;
        }
        Ok(batch.max(low * multiple))
    }
}

/// The largest number that fits. `low` must fit, and `high` must not.
fn last_that_fits(mut low: usize, mut high: usize, fits: &dyn Fn(usize) -> Result<bool>) -> Result<usize> {
    while high - low > 1 {
        let middle = (low + high) / 2;
        if fits(middle)? { low = middle } else { high = middle }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::device::tune::Table;
    use crate::device::{Gpu, GpuOptions};
    use crate::study::testing::{Heard, with_job};
    use crate::tape::Type;

    #[test]
    fn a_batch_past_the_largest_binding_names_one_that_fits() {
        with_job("", &Silent, |job| {
            const IMAGE: u64 = 64 << 20;
            let most = (job.gpu.caps().binding_bytes / IMAGE) as usize;
            let record = |batch: usize| {
                let mut t = Tape::new();
                let x = t.input("x", Type::f32([batch, IMAGE as usize / 4]))?;
                let y = t.scale(x, 2.0)?;
                t.output("y", y);
                Ok(vec![t])
            };
            let before = job.gpu.meter().buffers_made();
            let e = job.compile(&State::new(), "training.batch_size", most + 3, Sizes::from(1), &record).unwrap_err();
            assert_eq!(e.exit_code(), 2);
            let due = format!("the largest training.batch_size that fits is {most}");
            assert!(e.to_string().contains("in one buffer") && e.to_string().ends_with(&due), "{e}");
            assert_eq!(job.gpu.meter().buffers_made(), before, "nothing is allocated for a refusal");
        });
    }

    #[test]
    fn what_an_epoch_leaves_out_is_said() {
        let said = |images, whole, last, epochs| {
            let heard = Heard::default();
            with_job("", &heard, |job| {
                let o = Optimization { batch_size: 8, epochs, ..job.config.training.optimization.clone() };
                job.say_batches(&o, Batches { images, whole, last });
            });
            heard.lines()
        };
        let left = "an epoch has 2 steps of 8 images and leaves out 5 of 21 training images, other ones each time";
        assert_eq!(said(21, 8, LastBatch::Drop, 3), [left]);
        assert_eq!(said(9, 8, LastBatch::Drop, 3).len(), 1);
        let whole = [said(16, 8, LastBatch::Drop, 3), said(21, 8, LastBatch::Keep, 3), said(21, 8, LastBatch::Drop, 0)];
        assert!(whole.concat().is_empty(), "none is left out, or nothing is trained: {whole:?}");
        assert!(said(17, 8, LastBatch::Keep, 3)[0].contains("one image"));
        assert!(said(7, 7, LastBatch::Drop, 3)[0].ends_with("a step takes them all"));
    }

    /// A method that takes only multiples is never recorded with another batch, and the batch that is offered is a
    /// multiple.
    #[test]
    fn a_batch_that_must_be_a_multiple_is_offered_as_one() {
        with_job("", &Silent, |job| {
            let image = job.gpu.caps().binding_bytes as usize / 4 / 13; // 13 of them fit, 12 are a multiple
            let record = |batch: usize| {
                assert_eq!(batch % 4, 0, "recorded at {batch}");
                let mut t = Tape::new();
                let x = t.input("x", Type::f32([batch, image]))?;
                let y = t.scale(x, 2.0)?;
                t.output("y", y);
                Ok(vec![t])
            };
            let sizes = Sizes::multiples(4);
            let e = job.compile(&State::new(), "pretraining.batch_size", 40, sizes, &record).unwrap_err().to_string();
            assert!(e.ends_with("the largest pretraining.batch_size that fits is 12"), "{e}");
        });
    }

    #[test]
    fn a_larger_budget_is_offered_where_it_would_help() {
        with_job("", &Silent, |job| {
            let small = GpuOptions { memory_budget_bytes: Some(1 << 20), ..GpuOptions::default() };
            let (small, most) = (Gpu::open(&small).unwrap(), job.gpu.caps().binding_bytes as usize / 4);
            let ends = |gpu: &Gpu, words: usize| {
                let record = |_| {
                    let mut t = Tape::new();
                    let x = t.input("x", Type::f32([words]))?;
                    let y = t.scale(x, 2.0)?;
                    t.output("y", y);
                    Ok(vec![t])
                };
                let job = Job { gpu, kernels: Table::default(), ..*job };
                let e = job
                    .compile(&State::new(), "training.batch_size", 8, Sizes::from(2), &record)
                    .unwrap_err()
                    .to_string();
                e.rsplit_once("use a smaller ").unwrap().1.to_string()
            };
            assert_eq!(ends(job.gpu, most + 1024), "data.image_size or model.width");
            assert_eq!(ends(&small, 1 << 20), "data.image_size or model.width, or a larger budget");
            let (mut t, mut params) = (Tape::new(), Params::new());
            params.weight(&mut t, "projection.2.weight", [1024, 1024], crate::nn::Init::Zeros).unwrap();
            let job = Job { gpu: &small, kernels: Table::default(), ..*job };
            let bearable =
                job.expect_bearable(&params, &job.config.training.optimization, &job.config.model, &|_| None);
            assert!(bearable.unwrap_err().to_string().ends_with("use a smaller one, or a larger budget"));
        });
    }

    #[test]
    fn parameters_past_the_largest_binding_name_their_key_and_nothing_is_filled() {
        with_job("[pretraining.simclr]\nprojection_dims = [65536, 65536]", &Silent, |job| {
            let before = job.gpu.meter().buffers_made();
            let bearable = |name: &str, dims: [usize; 2]| {
                let (mut t, mut params) = (Tape::new(), Params::new());
                params.weight(&mut t, name, dims, crate::nn::Init::Zeros).unwrap();
                let p = job.config.pretraining_of("simclr").unwrap();
                job.expect_bearable(&params, &p.optimization, &p.model, &|one| p.size_key(one)).map_err(|e| {
                    assert_eq!(e.exit_code(), 2);
                    e.to_string()
                })
            };
            let e = bearable("projection.2.weight", [65536, 65536]).unwrap_err();
            assert!(e.contains("projection_dims = [65536, 65536] is too large") && e.contains("16384.0 MiB"), "{e}");
            assert!(bearable("backbone.conv1.weight", [1 << 30, 1 << 30]).unwrap_err().contains("model.width = 1 is"));
            assert!(bearable("backbone.fc.weight", [1 << 30, 512]).unwrap_err().contains("1073741824 classes"));
            assert!(e.ends_with("use a smaller one"), "no budget raises what an adapter binds: {e}");
            assert!(bearable("projection.2.weight", [8, 8]).is_ok());
            assert_eq!(job.gpu.meter().buffers_made(), before);
        });
    }
}
