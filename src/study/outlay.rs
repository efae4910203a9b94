//! What a stage will cost: operations, bytes moved, device memory, disk. It is counted from what the stage records, and
//! nothing runs.

use super::memory::Promise;
use super::saved::is_passing;
use super::session::Job;
use crate::nn::Params;
use crate::tape::{Schedule, State};
use std::collections::BTreeMap;

/// Operations and bytes, from the formulas of the ops.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes that must be read or written.
    pub bytes: f64,
}

impl Work {
    /// One run of a schedule.
    pub(super) fn of(schedule: &Schedule) -> Work {
        let costs = schedule.steps.iter().map(|step| step.cost());
        costs.map(|c| Work { flops: c.flops as f64, bytes: c.bytes as f64 }).sum()
    }

    /// The same work `n` times.
    pub fn times(self, n: usize) -> Work {
        Work { flops: self.flops * n as f64, bytes: self.bytes * n as f64 }
    }

    /// The seconds of this work if `unit` takes `seconds`: by flops and by bytes, the smaller one first. A device is
    /// bound by one of the two, and the shapes of small and large steps differ, so that the truth lies between.
    pub fn seconds(self, unit: Work, seconds: f64) -> [f64; 2] {
        let by = [self.flops / unit.flops.max(1.0), self.bytes / unit.bytes.max(1.0)].map(|share| share * seconds);
        [by[0].min(by[1]), by[0].max(by[1])]
    }
}

impl std::ops::Add for Work {
    type Output = Work;

    fn add(self, other: Work) -> Work {
        Work { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }
}

impl std::iter::Sum for Work {
    fn sum<I: Iterator<Item = Work>>(all: I) -> Work {
        all.fold(Work::default(), |a, b| a + b)
    }
}

/// What one run of a stage will cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlay {
    /// Its work from the first step to the last evaluation. The search for neighbours and the fit of a linear
    /// classifier, a few per cent, are not counted.
    pub work: Work,
    /// Steps.
    pub steps: usize,
    /// Bytes of its folder when it is done.
    pub disk_bytes: u64,
    /// Bytes on the device at the peak.
    pub peak_bytes: u64,
    /// The most bytes that a kernel binds in one buffer, and the layer and op of that kernel.
    pub largest: (u64, String),
}

impl Outlay {
    /// Of a stage over the images in `resident` that runs each of `parts` so often, takes `steps` steps, and keeps its
    /// state and, once more, a backbone with `params`.
    pub(super) fn of(
        job: &Job<'_>,
        parts: Vec<(Schedule, usize)>,
        steps: usize,
        (resident, params): (&State, &Params),
    ) -> Outlay {
        let states = parts.iter().flat_map(|(schedule, _)| &schedule.states);
        // Images lie in the cache and in no folder of a run.
        let own = states.filter(|(name, _)| !is_passing(name) && resident.ty(name).is_none());
        let saved: BTreeMap<&str, u64> = own.map(|(name, ty)| (name.as_str(), ty.bytes())).collect();
        let saved: u64 = saved.values().sum();
        let work = parts.iter().map(|(schedule, runs)| Work::of(schedule).times(*runs)).sum();
        let schedules: Vec<Schedule> = parts.into_iter().map(|(schedule, _)| schedule).collect();
        let promise = Promise::of(job, &schedules, resident);
        let backbone = params.list().iter().filter(|p| p.name.starts_with("backbone.")).map(|p| p.ty.bytes());
        Outlay {
            work,
            steps,
            disk_bytes: saved + backbone.sum::<u64>(),
            peak_bytes: promise.peak_bytes(),
            largest: promise.largest,
        }
    }

    /// One stage after another in the same folder.
    pub(super) fn then(self, next: Outlay) -> Outlay {
        Outlay {
            work: self.work + next.work,
            steps: self.steps + next.steps,
            disk_bytes: self.disk_bytes + next.disk_bytes,
            peak_bytes: self.peak_bytes.max(next.peak_bytes),
            largest: if next.largest.0 > self.largest.0 { next.largest } else { self.largest },
        }
    }
}

/// How often a pass over `images` images runs, `batch` at a time.
pub(super) fn passes(images: usize, batch: usize) -> usize {
    images.div_ceil(batch.min(images).max(1))
}

/// About how many bytes the predictions of `images` images take: logits of each class, three labels, the name.
pub(super) fn predictions_bytes(images: usize, classes: usize) -> u64 {
    (images * (4 * classes + 3 * 8 + 40)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_scaled_by_flops_and_by_bytes() {
        let unit = Work { flops: 10.0, bytes: 4.0 };
        let twice = unit + unit;
        assert_eq!(twice.seconds(unit, 0.5), [1.0, 1.0]);
        assert_eq!(Work { flops: 30.0, bytes: 4.0 }.seconds(unit, 0.5), [0.5, 1.5]);
        assert_eq!([unit, unit].into_iter().sum::<Work>(), unit.times(2));
    }
}
