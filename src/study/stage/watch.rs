//! The times of a stage, over all processes that worked at it.

use serde::{Deserialize, Serialize};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The file with the times of a run.
pub(super) const CLOCK: &str = "clock.json";

/// Times of a run so far. They are not in the checkpoint.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Clock {
    pub total_s: f64,
    pub epoch_s: f64,
    /// When the run began, in seconds since 1970, without the time between processes; 0 if that is not known.
    #[serde(default)]
    pub started_s: f64,
}

/// Adds up seconds over interruptions.
pub(super) struct Watch {
    pub clock: Clock,
    since: Instant,
    saved: Instant,
}

impl Watch {
    pub fn new(mut clock: Clock) -> Self {
        if clock.started_s <= 0.0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
            clock.started_s = now - clock.total_s;
        }
        Watch { clock, since: Instant::now(), saved: Instant::now() }
    }

    pub fn read(&mut self) -> Clock {
        let s = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        self.clock.total_s += s;
        self.clock.epoch_s += s;
        self.clock
    }

    pub fn end_epoch(&mut self) -> f64 {
        let s = self.read().epoch_s;
        self.clock.epoch_s = 0.0;
        s
    }

    /// Seconds of the run.
    pub fn elapsed_s(&self) -> f64 {
        self.clock.total_s + self.since.elapsed().as_secs_f64()
    }

    pub fn save(&mut self) {
        self.saved = Instant::now();
    }

    pub fn since_save_s(&self) -> f64 {
        self.saved.elapsed().as_secs_f64()
    }
}
