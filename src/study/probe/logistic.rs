//! Multinomial logistic regression on rows of features. It minimizes the mean cross-entropy plus weight_decay / 2 ·
//! ‖W‖² over all rows at once; the bias has no penalty. The device computes value and gradient, and the host takes the
//! steps ([`super::lbfgs`]). scikit-learn's `LogisticRegression` with C = 1 / (weight_decay · rows) minimizes the same.
//! Kornblith et al. 2019 (arXiv 1805.08974) and the papers of SimCLR and BYOL judge frozen features in this way.

use super::lbfgs::{Minimum, Point, minimize};
use crate::base::{Error, Result};
use crate::device::Gpu;
use crate::study::session::Job;
use crate::tape::demand::misfit;
use crate::tape::{Feed, Plan, Schedule, State, Tape, Type};
use std::sync::atomic::Ordering;

/// The tolerance of a probe in results. scikit-learn's default is 1e-4.
const TOLERANCE: f64 = 1e-5;
/// The most steps of a search.
const ITERATIONS: usize = 1000;

/// Features with their labels.
#[derive(Clone, Copy)]
pub(in crate::study) struct Rows<'a> {
    /// Rows of `width` numbers.
    pub features: &'a [f32],
    pub labels: &'a [u32],
    pub width: usize,
    pub classes: usize,
    /// The most rows that are in one buffer on the device.
    pub most: usize,
    /// A search ends when no element of the gradient is larger than this.
    pub tolerance: f64,
}

/// A linear classifier.
pub(in crate::study) struct Linear {
    pub weight_decay: f64,
    /// The weight [classes, width].
    pub weight: Vec<f32>,
    /// The bias [classes].
    pub bias: Vec<f32>,
    /// The minimized value: mean cross-entropy plus penalty.
    pub loss: f64,
    pub converged: bool,
}

impl Linear {
    /// A row of logits for each row of `features`.
    pub fn logits(&self, features: &[f32]) -> Vec<f32> {
        let width = self.weight.len() / self.bias.len();
        let one = |row: &[f32]| {
            let each = self.weight.chunks_exact(width).zip(&self.bias);
            each.map(|(w, b)| row.iter().zip(w).map(|(x, w)| x * w).sum::<f32>() + b).collect::<Vec<f32>>()
        };
        features.chunks_exact(width).flat_map(one).collect()
    }
}

/// The name of a block's features on the device.
fn features_of(block: usize) -> String {
    format!("probe.features.{block}")
}

fn labels_of(block: usize) -> String {
    format!("probe.labels.{block}")
}

impl<'a> Rows<'a> {
    /// Rows of `width` features, in blocks that the device can bind.
    pub fn new(gpu: &Gpu, features: &'a [f32], labels: &'a [u32], width: usize, classes: usize) -> Self {
        let most = (gpu.caps().binding_bytes as usize / 4 / width.max(classes).max(1)).max(1);
        Rows { features, labels, width, classes, most, tolerance: TOLERANCE }
    }

    fn count(&self) -> usize {
        self.labels.len()
    }

    /// The rows of each block. There are as few blocks as possible, and they have nearly equal sizes.
    fn blocks(&self) -> Vec<usize> {
        let each = self.count().div_ceil(self.count().div_ceil(self.most).max(1)).max(1);
        (0..self.count()).step_by(each).map(|from| each.min(self.count() - from)).collect()
    }

    /// For each block the tape of its mean cross-entropy and the gradient.
    fn tapes(&self) -> Result<Vec<Tape>> {
        let one = |(block, rows): (usize, usize)| {
            let mut t = Tape::new();
            let x = t.state(&features_of(block), Type::f32([rows, self.width]))?;
            let labels = t.state(&labels_of(block), Type::u32([rows]))?;
            let weight = t.input("weight", Type::f32([self.classes, self.width]))?;
            let bias = t.input("bias", Type::f32([self.classes]))?;
            let logits = t.matmul(x, weight, false, true)?;
            let logits = t.add_bias(logits, bias)?;
            let ones = t.fill([rows], 1.0)?;
            let [loss, ..] = t.cross_entropy(logits, labels, ones)?;
            let found = t.backward(&[loss], &[None], &[weight, bias])?;
            t.output("loss", loss);
            for (name, gradient) in ["grad_weight", "grad_bias"].into_iter().zip(found) {
                let gradient = gradient.ok_or_else(|| Error::Failed(format!("a probe has no {name}")))?;
                t.output(name, gradient);
            }
            Ok(t)
        };
        self.blocks().into_iter().enumerate().map(one).collect()
    }

    /// The schedules of the plans that a fit runs.
    pub fn schedules(&self, job: &Job<'_>) -> Result<Vec<Schedule>> {
        self.tapes()?.iter().map(|t| job.schedule(t)).collect()
    }

    /// The classifier for each weight decay, in the given order. Each search starts from the result for the next larger
    /// weight decay.
    pub fn fit(&self, job: &Job<'_>, weight_decays: &[f64]) -> Result<Vec<Linear>> {
        let mut state = State::new();
        let schedules = self.schedules(job)?;
        if let Some(why) = misfit(job.gpu, &schedules, &state) {
            let (n, width) = (self.count(), self.width);
            return Err(Error::Usage(format!(
                "the features of {n} images, {width} numbers each, do not fit a linear probe: {why}; take \"linear\" out of \
                 evaluation.protocols{}",
                why.or_budget()
            )));
        }
        let mut from = 0;
        for (block, rows) in self.blocks().into_iter().enumerate() {
            let features = &self.features[from * self.width..(from + rows) * self.width];
            let labels = &self.labels[from..from + rows];
            let (x, y) = (Type::f32([rows, self.width]), Type::u32([rows]));
            state.insert_resident(job.gpu, &features_of(block), x, bytemuck::cast_slice(features))?;
            state.insert_resident(job.gpu, &labels_of(block), y, bytemuck::cast_slice(labels))?;
            from += rows;
        }
        let plans = schedules.into_iter().map(|s| Plan::new(job.gpu, s, &state)).collect::<Result<Vec<_>>>()?;
        let mut order: Vec<usize> = (0..weight_decays.len()).collect();
        order.sort_by(|&a, &b| weight_decays[b].total_cmp(&weight_decays[a]));
        let mut at = vec![0.0; self.classes * (self.width + 1)];
        let mut fitted: Vec<Option<Linear>> = weight_decays.iter().map(|_| None).collect();
        for i in order {
            let mut f = |x: &[f64]| self.evaluate(job, &plans, weight_decays[i], x);
            let found = minimize(at, (self.tolerance, ITERATIONS), &mut f)?;
            fitted[i] = Some(self.linear(weight_decays[i], &found));
            at = found.at;
        }
        Ok(fitted.into_iter().flatten().collect())
    }

    fn linear(&self, weight_decay: f64, found: &Minimum) -> Linear {
        let (weight, bias) = self.parts(&found.at);
        Linear { weight_decay, weight, bias, loss: found.value, converged: found.converged }
    }

    /// The weight and the bias at a point of the search.
    fn parts(&self, at: &[f64]) -> (Vec<f32>, Vec<f32>) {
        let (weight, bias) = at.split_at(self.classes * self.width);
        let single = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        (single(weight), single(bias))
    }

    /// The value and the gradient at a point. The sums over blocks are in f64, in order.
    fn evaluate(&self, job: &Job<'_>, plans: &[Plan], weight_decay: f64, at: &[f64]) -> Result<Point> {
        if job.stop.load(Ordering::Relaxed) {
            let what = "stopped in a linear probe; the same command begins the probe again";
            return Err(Error::TryAgain(what.into()));
        }
        let (weight, bias) = self.parts(at);
        let mut gradient = vec![0.0; at.len()];
        let mut value = 0.0;
        for (plan, rows) in plans.iter().zip(self.blocks()) {
            plan.run(job.gpu, &Feed::new().input("weight", &weight).input("bias", &bias))?;
            let share = rows as f64 / self.count() as f64;
            value += share * f64::from(plan.read_f32(job.gpu, "loss")?.first().copied().unwrap_or(f32::NAN));
            let parts = [plan.read_f32(job.gpu, "grad_weight")?, plan.read_f32(job.gpu, "grad_bias")?].concat();
            gradient.iter_mut().zip(parts).for_each(|(sum, g)| *sum += share * f64::from(g));
        }
        for (g, w) in gradient.iter_mut().zip(&weight) {
            *g += weight_decay * f64::from(*w);
            value += weight_decay / 2.0 * f64::from(*w) * f64::from(*w);
        }
        if !value.is_finite() {
            return Err(Error::Failed(format!("a linear probe has a loss of {value}; its features are too large")));
        }
        Ok((value, gradient))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::study::metrics::argmax;
    use crate::study::testing::with_job;
    use safetensors::SafeTensors;

    /// scikit-learn's LogisticRegression on the same features gives these numbers; see kernels-tests/golden/linear.py.
    #[test]
    fn a_probe_is_scikit_learn_s_logistic_regression() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels-tests/golden/linear.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let floats = |name: &str| bytemuck::pod_collect_to_vec::<u8, f32>(file.tensor(name).unwrap().data());
        let words = |name: &str| bytemuck::pod_collect_to_vec::<u8, u32>(file.tensor(name).unwrap().data());
        let width = file.tensor("train").unwrap().shape()[1];
        let (train, labels, test, truth) = (floats("train"), words("labels"), floats("test"), words("test_labels"));
        let decays: Vec<f64> = floats("weight_decays").iter().map(|&d| f64::from(d)).collect();
        with_job("", &Silent, |job| {
            let rows = Rows::new(job.gpu, &train, &labels, width, 5);
            let cut = Rows { most: 150, ..rows };
            assert_eq!((rows.blocks(), cut.blocks()), (vec![400], vec![134, 134, 132]));
            for found in [rows.fit(job, &decays).unwrap(), cut.fit(job, &decays).unwrap()] {
                for (i, linear) in found.iter().enumerate() {
                    let of = |name: &str| floats(&format!("{name}_{i}"));
                    assert!(linear.converged, "{}", linear.weight_decay);
                    let (loss, due) = (linear.loss, f64::from(of("loss")[0]));
                    assert!((loss - due).abs() < 1e-5 * due, "weight decay {}: {loss}, {due}", linear.weight_decay);
                    let taken = argmax(&linear.logits(&test), 5);
                    let right = taken.iter().zip(&truth).filter(|(a, b)| a == b).count() as f32 / truth.len() as f32;
                    assert!((right - of("accuracy")[0]).abs() < 0.005, "{right}, {:?}", of("accuracy"));
                    let scale = of("weight").iter().fold(0f32, |most, w| most.max(w.abs()));
                    let off = linear.weight.iter().zip(of("weight")).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(off < 0.01 * scale, "weight decay {}: {off} of {scale}", linear.weight_decay);
                }
            }
        });
    }
}
