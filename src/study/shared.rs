//! What the stages of one process share: the schedules that many cells have in common, and the account of where the
//! time goes.

use crate::base::Result;
use crate::device::Caps;
use crate::tape::Schedule;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// The most schedules that are kept. A cell has at most 10 (two networks looking at three splits, two turns with two sizes
/// of batch), and cells of a dataset and a backbone share those that look.
const MOST: usize = 64;

/// What the stages of one process share.
#[derive(Debug)]
pub struct Shared {
    since: Instant,
    training: Cell<Duration>,
    evaluation: Cell<Duration>,
    stages: Cell<usize>,
    /// The one that was used last is the last.
    schedules: RefCell<Vec<(Made, Schedule)>>,
    scheduled: Cell<usize>,
}

/// What a schedule was made from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Made {
    /// The tape's.
    pub signature: String,
    pub recompute: bool,
    /// The hash of the table of kernels.
    pub table: Option<String>,
    pub caps: Caps,
}

/// Where the time of a process of `wgslab study run` went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Stages that were trained or judged.
    pub stages: usize,
    /// Seconds since the program opened the device.
    pub seconds: f64,
    /// Of these, in steps of training.
    pub training_s: f64,
    /// In the evaluation after each epoch and at the end of a stage: passes over images, what is computed from their
    /// outputs, and the fit of a probe.
    pub evaluation_s: f64,
    /// In all else: the grid's overhead.
    pub other_s: f64,
    /// The overhead's share of all seconds.
    pub other_share: f64,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            since: Instant::now(),
            training: Cell::default(),
            evaluation: Cell::default(),
            stages: Cell::default(),
            schedules: RefCell::default(),
            scheduled: Cell::default(),
        }
    }
}

impl Shared {
    /// The schedule that was made from `made` before; else `make` makes it.
    pub(super) fn schedule(&self, made: Made, make: impl FnOnce() -> Result<Schedule>) -> Result<Schedule> {
        let mut kept = self.schedules.borrow_mut();
        let at = kept.iter().position(|(of, _)| *of == made);
        let one = match at {
            Some(at) => kept.remove(at),
            None => {
                let schedule = make()?;
                self.scheduled.set(self.scheduled.get() + 1);
                (made, schedule)
            }
        };
        let schedule = one.1.clone();
        kept.push(one);
        let over = kept.len().saturating_sub(MOST);
        kept.drain(..over);
        Ok(schedule)
    }

    /// How many schedules were made.
    #[cfg(test)]
    pub(super) fn scheduled(&self) -> usize {
        self.scheduled.get()
    }

    /// Runs `f`, which evaluates.
    pub(super) fn evaluating<T>(&self, f: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let done = f();
        self.evaluation.set(self.evaluation.get() + since.elapsed());
        done
    }

    /// Counts time in steps of training.
    pub(super) fn trained(&self, time: Duration) {
        self.training.set(self.training.get() + time);
    }

    /// Counts a stage.
    pub(super) fn ended(&self) {
        self.stages.set(self.stages.get() + 1);
    }

    /// Where the time went so far.
    pub fn times(&self) -> Times {
        let (all, training, evaluation) = (self.since.elapsed(), self.training.get(), self.evaluation.get());
        let other = all.saturating_sub(training + evaluation);
        let [seconds, training_s, evaluation_s, other_s] = [all, training, evaluation, other].map(|d| d.as_secs_f64());
        Times {
            stages: self.stages.get(),
            seconds,
            training_s,
            evaluation_s,
            other_s,
            other_share: other_s / seconds.max(1e-9),
        }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Times { seconds, training_s, evaluation_s, other_s, other_share, .. } = self;
        write!(
            f,
            "{seconds:.1} s: {training_s:.1} s of training steps, {evaluation_s:.1} s of evaluation, {other_s:.1} s ({:.1} %) of \
             all else",
            100.0 * other_share
        )
    }
}

#[cfg(test)]
mod tests;
