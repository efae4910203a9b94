//! The images of a training with their labels: what a step reads of them, and what an epoch records.

use crate::base::Result;
use crate::nn::recorder::Progress;
use crate::noise::learn::{Epoch, EpochPlan, Learner};
use crate::study::dataset::Loaded;
use crate::study::labels::Labels;
use crate::study::metrics::metrics;
use crate::study::pass::Pass;
use crate::study::results::EpochRecord;
use crate::study::sample_loss::{SELECTED, losses_before, losses_of};
use crate::study::session::Job;
use crate::study::stage::{EpochSums, Task};
use crate::study::turns::terms;
use crate::tape::State;
use std::cell::RefCell;
use std::sync::Arc;

pub(super) struct Labelled<'a> {
    pub job: &'a Job<'a>,
    pub set: &'a Loaded,
    pub given: Labels,
    pub learner: Arc<dyn Learner>,
    /// Steps in an epoch.
    pub steps: usize,
    /// How many epochs there are.
    pub epochs: usize,
    /// The column names of all rings, in order.
    pub columns: Vec<String>,
    /// What this epoch does with each image. `None` for learners that plan no epochs.
    pub plan: RefCell<Option<EpochPlan>>,
    /// Passes over the training, validation and test images, by the first network and, if there is one, by the second.
    pub first: [Pass; 3],
    pub second: Option<[Pass; 3]>,
    /// What the passes of the first network gave after the last epoch, until the results are made from it.
    pub last: RefCell<Option<Outputs>>,
}

/// Rows of logits of the validation and test images, and of features of the test images.
pub(super) struct Outputs {
    pub val: Vec<f32>,
    pub test: Vec<f32>,
    pub test_features: Vec<f32>,
}

impl Labelled<'_> {
    pub fn classes(&self) -> usize {
        self.set.data.classes.len()
    }

    fn is_wrong(&self, i: usize) -> bool {
        self.given.train[i] != self.set.data.train.labels[i]
    }

    /// What the first network makes of the validation and the test images. Features are read only if they are asked for.
    fn outputs(&self, features: bool) -> Result<Outputs> {
        let (job, [_, val, test]) = (self.job, &self.first);
        let [test, test_features] = if features { test.both(job)? } else { [test.logits(job)?, Vec::new()] };
        Ok(Outputs { val: val.logits(job)?, test, test_features })
    }

    /// The same after the last epoch. A run that ended with it knows them already.
    pub fn last_outputs(&self) -> Result<Outputs> {
        self.last.take().map_or_else(|| self.outputs(true), Ok)
    }

    /// Accuracy of the first network on validation and on test images after `epoch`, counted from 1.
    fn accuracies(&self, epoch: usize) -> Result<[f64; 2]> {
        let is_last = epoch == self.epochs;
        let outputs = self.outputs(is_last)?;
        let of = |logits: &[f32], labels: &[u32]| Ok(metrics(logits, labels, self.classes())?.accuracy);
        let found = [of(&outputs.val, &self.given.val)?, of(&outputs.test, &self.set.data.test.labels)?];
        self.last.replace(is_last.then_some(outputs));
        Ok(found)
    }

    /// For the images that an epoch saw: the share of the selected images whose labels are right, and the share of the
    /// images with right labels that were selected.
    fn selection(&self, state: &State, seen: &[usize]) -> Result<[Option<f64>; 2]> {
        if state.ty(SELECTED).is_none() {
            return Ok([None; 2]);
        }
        let table = state.read_f32(self.job.gpu, SELECTED)?;
        let share = |of: f64, all: f64| (all > 0.0).then(|| of / all);
        let (mut taken, mut right, mut both) = (0.0, 0.0, 0.0);
        for &i in seen {
            let (t, r) = (f64::from(table[i]), f64::from(u8::from(!self.is_wrong(i))));
            (taken, right, both) = (taken + t, right + r, both + t * r);
        }
        Ok([share(both, taken), share(both, right)])
    }
}

impl Task for Labelled<'_> {
    fn is_all(&self) -> bool {
        false // the cell's result is
    }

    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)> {
        let plan = self.plan.borrow();
        let mut all = inputs(&self.given.train, &self.set.data.train.labels, (indices, self.classes()), plan.as_ref());
        all.extend(self.learner.inputs(at, indices));
        all
    }

    fn scalars(&self, at: Progress) -> Vec<(&'static str, f32)> {
        self.learner.scalars(at)
    }

    /// The losses that a plan is made from are copied at the first step of the epoch, since the epoch's steps write new
    /// losses. So a run that was stopped makes the same plan again.
    fn begin_epoch(&self, state: &State, at: Progress, usual: Vec<usize>) -> Result<Vec<usize>> {
        if !self.learner.plans_epochs() {
            return Ok(usual);
        }
        let (gpu, turns) = (self.job.gpu, self.learner.turns());
        let mut losses = Vec::new();
        for turn in &turns {
            let (newest, before) = (losses_of(turn), losses_before(turn));
            if at.step == 0 {
                state.write(gpu, &before, &state.read(gpu, &newest)?)?;
            }
            losses.push(state.read_f32(gpu, &before)?);
        }
        let (given, classes) = (&self.given.train[..], self.classes());
        let epoch = Epoch { at: Progress { step: 0, ..at }, losses, given, classes, order: usual };
        let plan = self.learner.before_epoch(&epoch)?;
        plan.check(given.len(), classes)?;
        let order = plan.order.clone();
        self.plan.replace(Some(plan));
        Ok(order)
    }

    fn epoch(
        &self,
        state: &State,
        sums: &EpochSums<'_>,
        record: &mut EpochRecord,
        _: &mut serde_json::Value,
    ) -> Result<()> {
        let sum = |name: &str| self.columns.iter().position(|c| c == name).map_or(0.0, |i| sums.sums[i]);
        record.train_accuracy = Some(sum(CORRECT) / sums.seen.len() as f64);
        let wrong = sums.seen.iter().filter(|&&i| self.is_wrong(i)).count();
        record.wrong_label_memorised = (wrong > 0).then(|| sum(MEMORISED) / wrong as f64);
        record.terms = terms(&self.columns, sums.sums, self.steps, &[CORRECT, MEMORISED]);
        [record.val_accuracy, record.test_accuracy] = self.accuracies(record.epoch)?.map(Some);
        [record.selection_precision, record.selection_recall] = self.selection(state, sums.seen)?;
        Ok(())
    }
}

/// The metrics of a step: for how many images the prediction is the given label, and how many of those labels are
/// wrong.
pub(super) const CORRECT: &str = "correct";
pub(super) const MEMORISED: &str = "memorised";

/// What a step reads for the images at `indices`: their given labels, their weights, soft labels, and which of the
/// given labels are wrong. Without a plan each weight is 1.
pub(in crate::study) fn inputs(
    given: &[u32],
    clean: &[u32],
    (indices, classes): (&[u32], usize),
    plan: Option<&EpochPlan>,
) -> Vec<(&'static str, Vec<u8>)> {
    let each = |f: &dyn Fn(usize) -> f32| indices.iter().map(|&i| f(i as usize)).collect::<Vec<f32>>();
    let labels: Vec<u32> = indices.iter().map(|&i| given[i as usize]).collect();
    let weights = each(&|i| plan.map_or(1.0, |p| p.weights[i]));
    let wrong = each(&|i| f32::from(u8::from(given[i] != clean[i])));
    let mut all = vec![
        ("labels", bytemuck::cast_slice(&labels).to_vec()),
        ("weights", bytemuck::cast_slice(&weights).to_vec()),
        ("wrong", bytemuck::cast_slice(&wrong).to_vec()),
    ];
    if let Some(plan) = plan {
        let soft = |i: usize, k: usize| match plan.targets.is_empty() {
            false => plan.targets[i * classes + k],
            true => f32::from(u8::from(given[i] as usize == k)),
        };
        let targets = indices.iter().flat_map(|&i| (0..classes).map(move |k| (i as usize, k)));
        let targets: Vec<f32> = targets.map(|(i, k)| soft(i, k)).collect();
        all.push(("targets", bytemuck::cast_slice(&targets).to_vec()));
        all.extend(plan.inputs.iter().map(|(name, of)| (*name, bytemuck::cast_slice(&each(&|i| of[i])).to_vec())));
    }
    all
}
