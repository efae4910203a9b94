//! Samples of a kernel, and of the reference before and after each. Also how often a sample repeats a short kernel, and
//! which clock counts.

use super::fixed_kernel::{FixedKernel, reference_row};
use super::report::over;
use super::sampling_rule::{ERROR, SamplingRule, centres, error};
use super::{Row, Timer};
use crate::base::Result;
use crate::device::{Dispatch, Gpu, Timed};

/// A sample repeats its kernel until it takes about this many milliseconds, first by timestamps, then by the wall
/// clock. A submission costs a software driver 0.15 ms of the device's own time. That is 3 % of 5 ms, and would be 15 %
/// of 1 ms.
const SAMPLE_MS: (f64, f64) = (5.0, 20.0);
/// The most repeats of a sample.
const REPEATS: f64 = 1000.0;
/// Warming up takes at least this long, so that clocks rise and caches fill.
const WARM_MS: f64 = 50.0;

/// Samples of something, of `repeats` runs each.
#[derive(Default)]
pub(super) struct Samples {
    device_ms: Vec<Option<f64>>,
    wall_ms: Vec<f64>,
    reference_ms: Vec<f64>,
    /// For each sample: its turn.
    turn: Vec<usize>,
    /// The turn of the samples to come.
    pub now: usize,
    /// How long taking them took by the wall clock.
    pub spent_s: f64,
}

/// The samples that count, with the wall clock and the reference beside each.
#[derive(Debug, PartialEq)]
pub(super) struct Times {
    /// The clock of `samples_ms`.
    pub timer: Timer,
    /// Each sample, ms per run.
    pub samples_ms: Vec<f64>,
    /// The host's clock beside each.
    pub wall_ms: Vec<f64>,
    /// The reference kernel beside each, if it was timed.
    pub reference_ms: Vec<f64>,
    /// How many of them each turn has.
    pub turns: Vec<usize>,
}

impl Samples {
    /// Takes one in.
    pub fn add(&mut self, t: Timed, repeats: usize, reference_ms: Option<f64>) {
        // Rounded to a tenth of a nanosecond. No clock here is finer, and files stay shorter.
        let each = |ms: f64| (ms / repeats as f64 * 1e7).round() / 1e7;
        self.device_ms.push(t.device_ms.map(each));
        self.wall_ms.push(each(t.wall_ms));
        self.reference_ms.extend(reference_ms);
        self.turn.push(self.now);
        self.spent_s += t.wall_ms * 1e-3;
    }

    /// The device's times. A sample is `None` if the device's clock missed it. Returns nothing if it missed more than
    /// half of them: then the wall clock counts.
    fn seen(&self) -> Option<Vec<Option<f64>>> {
        let seen: Vec<Option<f64>> = self.device_ms.iter().map(|ms| ms.filter(|ms| *ms > 0.0)).collect();
        let count = seen.iter().flatten().count();
        (count > 0 && 2 * count >= seen.len()).then_some(seen)
    }

    /// The samples by the device's clock, without those that it missed: one lost timestamp must not switch the whole
    /// row to another clock, since it would then have no verdict. Otherwise all samples by the wall clock.
    pub fn times(&self) -> Times {
        let Some(seen) = self.seen() else {
            let (samples_ms, reference_ms) = (self.wall_ms.clone(), self.reference_ms.clone());
            let turns = lengths(self.turn.iter().copied());
            return Times { timer: Timer::Wall, wall_ms: samples_ms.clone(), samples_ms, reference_ms, turns };
        };
        let kept = |list: &[f64]| list.iter().zip(&seen).filter(|(_, ms)| ms.is_some()).map(|(v, _)| *v).collect();
        let (wall_ms, reference_ms) = (kept(&self.wall_ms), kept(&self.reference_ms));
        let turns = lengths(self.turn.iter().zip(&seen).filter(|(_, ms)| ms.is_some()).map(|(t, _)| *t));
        let samples_ms = seen.into_iter().flatten().collect();
        Times { timer: Timer::Timestamps, samples_ms, wall_ms, reference_ms, turns }
    }

    /// Whether samples are so short that the state of the caches matters.
    pub fn are_short(&self) -> bool {
        self.spent_s * 1e3 < WARM_MS * self.turn.len() as f64
    }

    /// Whether sampling is over for this turn.
    pub fn is_over(&self, rule: &SamplingRule) -> bool {
        match self.seen() {
            Some(seen) => rule.is_over(self.now, &seen.into_iter().flatten().collect::<Vec<_>>(), self.spent_s),
            None => rule.is_over(self.now, &self.wall_ms, self.spent_s),
        }
    }

    /// Whether a further turn would help: the samples lie apart, and the turns do not agree on their centre.
    pub fn is_wide(&self, rule: &SamplingRule) -> bool {
        let times = self.times();
        let steady = over(&times.samples_ms, &times.reference_ms);
        !rule.settled(&times.samples_ms, self.spent_s) && error(&centres(&steady, times.turns)) > ERROR
    }
}

/// How many times each turn stands in a row.
fn lengths(turns: impl Iterator<Item = usize>) -> Vec<usize> {
    turns.collect::<Vec<_>>().chunk_by(|a, b| a == b).map(<[usize]>::len).collect()
}

/// Runs `list` until it is warm, and returns how often a sample should repeat it. The fastest run decides: a disturbed
/// one would leave the row with samples that are too short.
pub(super) fn warm(gpu: &Gpu, list: &[Dispatch], cold: bool) -> Result<usize> {
    let (mut spent, mut repeats, mut fastest) = (0.0, 1, f64::INFINITY);
    while spent < WARM_MS {
        let t = gpu.time_repeated(list, repeats)?;
        spent += t.wall_ms.max(0.1); // a clock that stands still must not hold the program
        let (ms, aim) = t.device_ms.map_or((t.wall_ms, SAMPLE_MS.1), |ms| (ms, SAMPLE_MS.0));
        fastest = fastest.min(ms / repeats as f64);
        repeats = (aim / fastest.max(1e-6)).round().clamp(1.0, REPEATS) as usize;
    }
    Ok(if cold { 1 } else { repeats })
}

/// The reference kernel on the first device.
pub(super) struct Reference<'a> {
    gpu: &'a Gpu,
    own: FixedKernel,
    repeats: usize,
    samples: Samples,
    /// The last sample, ms per run.
    last: f64,
}

impl<'a> Reference<'a> {
    /// Warms the reference kernel up.
    pub fn new(gpu: &'a Gpu) -> Result<Self> {
        let own = FixedKernel::reference(gpu)?;
        let repeats = warm(gpu, &own.dispatches, false)?;
        Ok(Reference { gpu, own, repeats, samples: Samples::default(), last: f64::NAN })
    }

    /// Takes a sample: ms per run.
    pub fn sample(&mut self) -> Result<f64> {
        let t = self.gpu.time_repeated(&self.own.dispatches, self.repeats)?;
        let (wall, device) = (t.wall_ms / self.repeats as f64, t.device_ms.map(|ms| ms / self.repeats as f64));
        self.samples.add(t, self.repeats, None);
        self.last = match device {
            Some(ms) if ms > 0.0 => ms,
            // The device's clock missed it. The last sample is a better guess than another clock's.
            Some(_) if self.last.is_finite() => self.last,
            _ => wall,
        };
        Ok(self.last)
    }

    /// The row of all its samples.
    pub fn row(&self, rule: &SamplingRule) -> Row {
        let Times { timer, samples_ms, wall_ms, .. } = self.samples.times();
        let noisy = !rule.settled(&samples_ms, f64::INFINITY);
        Row { samples_ms, wall_ms, noisy, ..reference_row(timer, self.repeats as u32) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(device_ms: &[Option<f64>]) -> Samples {
        let mut samples = Samples::default();
        for (i, ms) in device_ms.iter().enumerate() {
            samples.now = i / 2;
            samples.add(Timed { device_ms: *ms, wall_ms: 10.0 + i as f64 }, 1, Some(2.0 + i as f64));
        }
        samples
    }

    #[test]
    fn a_lost_timestamp_leaves_the_row_its_clock() {
        let times = samples(&[Some(1.0), Some(0.0), Some(3.0)]).times();
        let due = [vec![1.0, 3.0], vec![10.0, 12.0], vec![2.0, 4.0]];
        assert_eq!((times.timer, [times.samples_ms, times.wall_ms, times.reference_ms]), (Timer::Timestamps, due));
        assert_eq!(times.turns, [1, 1], "the lost one is of the first turn");
        let coarse = samples(&[Some(0.0), Some(0.0), Some(3.0)]).times();
        assert_eq!((coarse.timer, coarse.samples_ms), (Timer::Wall, vec![10.0, 11.0, 12.0]));
        assert_eq!(coarse.turns, [2, 1]);
        assert_eq!(samples(&[None, None]).times().timer, Timer::Wall);
    }
}
