//! What a stage tells while it runs: a line of `steps.jsonl` for each step, and TensorBoard's event file. Both grow as the
//! run goes on. A run that goes on after a stop first makes both anew, of the steps that its checkpoint stands on, so that no
//! step is told twice.

use super::super::cursor::Cursor;
use super::super::names::{EVENTS, REDO, STEPS};
use super::super::results::{EpochRecord, StepRecord, numbers, read_steps};
use crate::base::{Error, Result, event_file, files};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The growing files of a stage.
pub(super) struct Log {
    steps: Growing,
    events: Growing,
    /// When the run began, in seconds since 1970.
    started_s: f64,
    /// Seconds of the run until the last step that was told.
    elapsed_s: f64,
    /// Seconds of the run from which on the next steps are timed.
    since_s: f64,
    /// Steps told.
    count: usize,
}

impl Log {
    /// The files of a run that stands at `at` after `count` steps.
    pub fn open(folder: &Path, (at, count): (&Cursor, usize), epochs: &[EpochRecord], started_s: f64) -> Result<Log> {
        let (mut steps, mut text) = (Vec::new(), String::new());
        if count > 0 {
            (steps, text) = read_steps(folder, count)?;
            let history = steps.iter().try_fold(String::new(), |before, step| step.history(&before))?;
            if history != at.steps {
                let why = "it does not hold the steps that the checkpoint stands on";
                return Err(Error::damaged(&folder.join(STEPS), why, REDO));
            }
        }
        let mut events = event_file::begin(started_s);
        let mut ended = epochs.iter();
        for (i, step) in steps.iter().enumerate() {
            let wall_s = started_s + step.elapsed_s;
            events.extend(event_file::scalars(wall_s, step.step as u64, &numbers("step", step)?));
            if steps.get(i + 1).is_none_or(|next| next.epoch != step.epoch) {
                if let Some(epoch) = ended.next() {
                    events.extend(event_file::scalars(wall_s, epoch.epoch as u64, &numbers("epoch", epoch)?));
                }
            }
        }
        let elapsed_s = steps.last().map_or(0.0, |s| s.elapsed_s);
        let steps = Growing::begin(folder.join(STEPS), text.as_bytes())?;
        let events = Growing::begin(folder.join(EVENTS), &events)?;
        Ok(Log { steps, events, started_s, elapsed_s, since_s: elapsed_s, count })
    }

    /// Steps told so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Steps begin now: what went before, such as an evaluation, is none of their time.
    pub fn begin(&mut self, elapsed_s: f64) {
        self.since_s = elapsed_s;
    }

    /// Seconds that steps took which are told at `elapsed_s`.
    pub fn took_s(&self, elapsed_s: f64) -> f64 {
        elapsed_s - self.since_s
    }

    /// Tells of steps.
    pub fn steps(&mut self, new: &[StepRecord]) -> Result<()> {
        let (mut lines, mut events) = (String::new(), Vec::new());
        for step in new {
            lines += &step.line()?;
            let wall_s = self.started_s + step.elapsed_s;
            events.extend(event_file::scalars(wall_s, step.step as u64, &numbers("step", step)?));
            (self.elapsed_s, self.since_s) = (step.elapsed_s, step.elapsed_s);
        }
        self.count += new.len();
        self.steps.add(lines.as_bytes())?;
        self.events.add(&events)
    }

    /// Tells of an epoch that ended.
    pub fn epoch(&mut self, epoch: &EpochRecord) -> Result<()> {
        let wall_s = self.started_s + self.elapsed_s;
        self.events.add(&event_file::scalars(wall_s, epoch.epoch as u64, &numbers("epoch", epoch)?))
    }

    /// Waits until the lines lie on the disk: before a checkpoint that stands on them does.
    pub fn sync(&self) -> Result<()> {
        self.steps.sync()
    }
}

/// A file that grows.
struct Growing {
    path: PathBuf,
    file: File,
}

impl Growing {
    /// A new file that holds `bytes`, in place of any other of that name.
    fn begin(path: PathBuf, bytes: &[u8]) -> Result<Growing> {
        files::write_atomic(&path, bytes)?;
        let file = File::options().append(true).open(&path).map_err(|e| Error::io(&path, "write", e))?;
        Ok(Growing { path, file })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io(&self.path, "write", e))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io(&self.path, "write", e))
    }
}
