//! The files that grow while a stage runs: `steps.jsonl`, with a line for each step, and TensorBoard's event file. A
//! run that goes on after a stop first writes both again, with the steps up to its checkpoint, so that no step is in
//! them twice.

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
    /// Seconds of the run until the last step that was logged.
    elapsed_s: f64,
    /// Seconds of the run from which the time of the next steps counts.
    since_s: f64,
    /// How many steps were logged.
    count: usize,
}

impl Log {
    /// The files of a run that is at `at`, after `count` steps.
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

    /// How many steps were logged so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Called when steps begin, so that time before them, such as an evaluation, does not count as theirs.
    pub fn begin(&mut self, elapsed_s: f64) {
        self.since_s = elapsed_s;
    }

    /// The seconds that the steps took that are logged at `elapsed_s`.
    pub fn took_s(&self, elapsed_s: f64) -> f64 {
        elapsed_s - self.since_s
    }

    /// Logs steps.
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

    /// Logs the end of an epoch.
    pub fn epoch(&mut self, epoch: &EpochRecord) -> Result<()> {
        let wall_s = self.started_s + self.elapsed_s;
        self.events.add(&event_file::scalars(wall_s, epoch.epoch as u64, &numbers("epoch", epoch)?))
    }

    /// Waits until the lines are on the disk. It is called before a checkpoint that depends on them is written.
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
    /// A new file that holds `bytes`. It replaces a file of the same name.
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
