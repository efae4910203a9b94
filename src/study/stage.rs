//! A stage of training that can be stopped anywhere: epochs of shuffled batches through one plan, metrics from a ring
//! on the device, a checkpoint every few seconds, and the same bits whether it was interrupted or not.
//!
//! A step depends only on (seed, epoch, step) and on the state. A checkpoint is the state and a cursor. Times are kept
//! beside it, in `clock.json`, so that the checkpoint of a resumed run equals that of an uninterrupted run.

mod log;
mod ring;
mod steps;
mod watch;

use super::batches::Batches;
use super::cursor::{Cursor, Extent, history};
use super::folder::object;
use super::names::{EPOCHS, REDO, STATE};
use super::owner::still_mine;
use super::provenance::Provenance;
use super::results::{EpochRecord, Phase, read_epochs, write_epochs};
use super::saved::is_passing;
use super::session::Job;
use super::turns::{COMMON, Plans};
use crate::base::rng::Rng;
use crate::base::text::counted;
use crate::base::{Error, Result, files, seal};
use crate::data::store::ImageStore;
use crate::device::Gpu;
use crate::nn::checkpoint::{self, Checkpoint};
use crate::nn::{Optimization, Progress, Turn};
use crate::tape::{State, Tape};
use log::Log;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use watch::{CLOCK, Clock, Watch};

/// The random stream of the batch order.
const SHUFFLE: u32 = 0x7368_7566; // "shuf"

/// The sums of one epoch and the images that they are over.
pub(super) struct EpochSums<'a> {
    /// For each column of the rings the sum over steps.
    pub sums: &'a [f64],
    /// The images of the epoch's steps.
    pub seen: &'a [usize],
}

/// A stage.
pub(super) struct Stage<'a> {
    pub job: &'a Job<'a>,
    pub name: String,
    pub phase: Phase,
    pub folder: &'a Path,
    pub address: String,
    pub seed: u64,
    pub optimization: Optimization,
    pub batches: Batches,
    /// The images that steps take; none of a stage without.
    pub images: Option<&'a ImageStore>,
    /// The turns of a step, each with the columns of its ring: the first is the loss, the last the flag of its guard.
    pub turns: Vec<(Turn, Vec<String>)>,
    /// Steps after which the stage ends, even within an epoch. `None` if its epochs decide it. Learning rates always
    /// follow its epochs.
    pub limit: Option<usize>,
    /// The part that differs between stages.
    pub task: &'a dyn Task,
}

/// The part that differs between stages.
pub(super) trait Task {
    /// The inputs of a step on these images, besides `indices`.
    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)>;
    /// Returns the order of images in an epoch. It is called before the epoch's first step, and when a stopped run goes
    /// on. Most tasks return `usual`.
    fn begin_epoch(&self, _state: &State, _at: Progress, usual: Vec<usize>) -> Result<Vec<usize>> {
        Ok(usual)
    }
    /// The scalars of a step, besides those that every stage has.
    fn scalars(&self, _at: Progress) -> Vec<(&'static str, f32)> {
        Vec::new()
    }
    /// Whether the stage is all that there is to tell. Who runs it says more if not.
    fn is_all(&self) -> bool {
        true
    }
    /// Called after an epoch: measures what belongs into its record. `memory` is kept in the checkpoint.
    fn epoch(
        &self,
        state: &State,
        sums: &EpochSums<'_>,
        record: &mut EpochRecord,
        memory: &mut serde_json::Value,
    ) -> Result<()>;
}

impl Stage<'_> {
    /// Steps in an epoch.
    pub fn steps(&self) -> usize {
        self.batches.steps()
    }

    fn taken(&self, steps: usize) -> usize {
        self.batches.taken(steps)
    }

    /// How many columns all rings have together.
    fn columns(&self) -> usize {
        self.turns.iter().map(|t| t.1.len()).sum()
    }

    /// The names of all columns.
    fn names(&self) -> impl Iterator<Item = &String> {
        self.turns.iter().flat_map(|t| &t.1)
    }

    /// How many steps are done, over all epochs.
    fn done(&self, at: &Cursor) -> usize {
        at.epoch * self.steps() + at.step
    }

    /// How many steps the whole stage has.
    fn total(&self) -> usize {
        let all = self.optimization.epochs * self.steps();
        self.limit.map_or(all, |limit| limit.min(all))
    }

    /// Each turn with the range of its columns among all columns.
    fn placed(&self) -> impl Iterator<Item = (&Turn, std::ops::Range<usize>)> {
        self.turns.iter().scan(0, |from, (turn, names)| {
            let columns = *from..*from + names.len();
            *from = columns.end;
            Some((turn, columns))
        })
    }

    /// The cursor of a stage that has not begun.
    pub fn start(&self) -> Cursor {
        Cursor {
            address: self.address.clone(),
            epoch: 0,
            step: 0,
            sums: vec![0.0; self.columns()],
            memory: serde_json::Value::Null,
            history: String::new(),
            steps: String::new(),
        }
    }

    /// Runs the steps that are left. Returns the records of all epochs, the seconds that they took, and the final
    /// cursor.
    pub fn run(&self, plans: &[Plans], state: &State, mut at: Cursor) -> Result<(Vec<EpochRecord>, f64, Cursor)> {
        self.check(&at)?;
        self.check_feeds(plans)?;
        let records = self.records(&at)?;
        let watch = Watch::new(self.read_clock(&at));
        let log = Log::open(self.folder, (&at, self.done(&at)), &records, watch.clock.started_s)?;
        let mut told = Told { records, watch, log, saving: Duration::ZERO };
        let per_epoch = self.taken(self.steps());
        let of = |steps: usize| steps / self.steps() * per_epoch + self.taken(steps % self.steps());
        let (total, done) = (of(self.total()) as u64, of(self.done(&at)) as u64);
        self.job.progress.stage(&self.name, total, done, "images");
        while at.epoch * self.steps() < self.total() {
            let order = self.task.begin_epoch(state, self.progress(&at, 0), self.order(at.epoch))?;
            let (begun, saving) = (Instant::now(), told.saving);
            let ended = self.epoch((plans, &order), state, &mut at, &mut told);
            self.job.shared.trained(begun.elapsed().saturating_sub(told.saving - saving));
            ended?;
            if at.step < self.steps() {
                break; // the limit is within the epoch
            }
            let skipped_steps = self.skipped(&at)?;
            let (run, stopping) = (&self.job.config.run, self.job.stop.load(Ordering::Relaxed));
            if stopping || told.watch.since_save_s() >= 0.5 * run.checkpoint_seconds {
                self.save(STATE, state, &at, &mut told)?; // the evaluation that follows may take long, or be stopped
            }
            let sums = EpochSums { sums: &at.sums, seen: &order[..per_epoch] };
            let mut record = self.record(&at, skipped_steps);
            self.job.shared.evaluating(|| self.task.epoch(state, &sums, &mut record, &mut at.memory))?;
            record.seconds = told.watch.end_epoch();
            record.images_per_s = per_epoch as f64 / record.seconds.max(1e-9);
            told.log.epoch(&record)?;
            told.records.push(record);
            at = Cursor { epoch: at.epoch + 1, step: 0, sums: vec![0.0; self.columns()], ..at };
            write_epochs(self.folder, &told.records)?;
        }
        self.save(STATE, state, &at, &mut told)?;
        self.job.shared.ended();
        let last = told.records.last().map_or(String::new(), |r| format!(", loss {:.4}", r.loss));
        let steps = if at.step > 0 { format!(" and {}", counted(at.step, "step")) } else { String::new() };
        let epochs = counted(told.records.len(), "epoch");
        if self.task.is_all() {
            self.job.progress.done(&format!("{}: {epochs}{steps}{last}", self.name));
        }
        Ok((told.records, told.watch.clock.total_s, at))
    }

    /// The record of an epoch whose steps are done, as far as the stage knows it.
    fn record(&self, at: &Cursor, skipped_steps: usize) -> EpochRecord {
        EpochRecord {
            phase: self.phase,
            epoch: at.epoch + 1,
            loss: at.sums[0] / self.steps() as f64,
            lr: self.rate(at.epoch, self.steps() - 1),
            skipped_steps,
            ..EpochRecord::default()
        }
    }

    /// The records of the epochs that are done. It is an error if one is missing, because the run would report too few
    /// epochs.
    fn records(&self, at: &Cursor) -> Result<Vec<EpochRecord>> {
        if at.epoch == 0 {
            return Ok(Vec::new());
        }
        let path = self.folder.join(EPOCHS);
        let mut records = read_epochs(self.folder)?;
        if records.len() < at.epoch {
            let why = format!("it holds {}, and {} are done", counted(records.len(), "epoch"), at.epoch);
            return Err(Error::damaged(&path, why, REDO));
        }
        records.truncate(at.epoch);
        if history(&records)? != at.history {
            return Err(Error::damaged(&path, "it does not hold the epochs that the checkpoint stands on", REDO));
        }
        Ok(records)
    }

    /// It is an error if the cursor is outside this stage.
    fn check(&self, at: &Cursor) -> Result<()> {
        let flags = self.placed().map(|(_, columns)| columns.end - 1).collect();
        let (epochs, steps, columns) = (self.optimization.epochs, self.steps(), self.columns());
        at.expect_within(&self.folder.join(STATE), &Extent { epochs, steps, columns, flags })
    }

    /// It is an error if a method gives a scalar or an input that no turn reads, or that has one of the stage's own
    /// names.
    fn check_feeds(&self, plans: &[Plans]) -> Result<()> {
        let (at, order) = (self.progress(&self.start(), 0), self.order(0));
        let indices: Vec<u32> = order[..self.taken(1)].iter().map(|&i| i as u32).collect();
        let schedules = || plans.iter().flat_map(|p| p.whole.stages()).map(|(plan, _)| plan.schedule());
        let wrong = |what: &str, name: &str, why: &str| {
            Err(Error::Failed(format!("{}: the method gives the {what} {name}, {why}", self.name)))
        };
        for (name, _) in self.task.scalars(at) {
            if COMMON.contains(&name) {
                return wrong("scalar", name, "which is the stage's own; take another name");
            }
            if !schedules().any(|s| s.scalars.iter().any(|n| n == name)) {
                return wrong("scalar", name, "which no turn reads; record it or leave it out");
            }
        }
        for (name, _) in self.task.inputs(at, &indices) {
            if !schedules().any(|s| s.inputs.iter().any(|i| i.0 == name)) {
                return wrong("input", name, "which no turn reads; record it or leave it out");
            }
        }
        Ok(())
    }

    /// The order of images in an epoch.
    fn order(&self, epoch: usize) -> Vec<usize> {
        order(self.seed, epoch, self.batches.images)
    }

    fn progress(&self, at: &Cursor, repeat: usize) -> Progress {
        let (epochs, steps) = (self.optimization.epochs, self.steps());
        Progress { seed: self.seed, epoch: at.epoch, epochs, step: at.step, steps, repeat, before: 0 }
    }

    fn rate(&self, epoch: usize, step: usize) -> f64 {
        self.optimization.rate(epoch, step, self.steps())
    }

    /// Writes a checkpoint into a file called `name`.
    fn save(&self, name: &str, state: &State, at: &Cursor, told: &mut Told) -> Result<()> {
        let begun = Instant::now();
        // Another process may have the folder's lock, too, where locks lie. Only one of them goes on.
        still_mine(self.folder)?;
        told.log.sync()?;
        write_epochs(self.folder, &told.records)?;
        seal::write(&self.folder.join(CLOCK), &told.watch.read())?;
        let at = Cursor { history: history(&told.records)?, ..at.clone() };
        let cursor = serde_json::to_value(&at).map_err(|e| Error::Failed(format!("cannot write the cursor: {e}")))?;
        checkpoint::save_state(&self.folder.join(name), self.job.gpu, state, object(cursor))?;
        if name == STATE {
            told.watch.save();
        }
        told.saving += begun.elapsed();
        Ok(())
    }

    /// The times of earlier processes that left a checkpoint. Warns if the clock is missing or damaged.
    fn read_clock(&self, at: &Cursor) -> Clock {
        if *at == self.start() {
            return Clock::default();
        }
        let path = self.folder.join(CLOCK);
        seal::read(&path).unwrap_or_else(|why| {
            let path = path.display();
            self.job.progress.note(&format!("warning: {path} is damaged: {why}; seconds are counted from here on"));
            Clock::default()
        })
    }
}

/// What a stage has reported so far.
struct Told {
    records: Vec<EpochRecord>,
    watch: Watch,
    log: Log,
    /// How long this process wrote checkpoints.
    saving: Duration,
}

/// The name of the file with the state after `steps` steps.
fn kept_state(steps: usize) -> String {
    format!("state_{steps:06}.safetensors")
}

/// The order in which an epoch takes the images.
pub(super) fn order(seed: u64, epoch: usize, images: usize) -> Vec<usize> {
    Rng::new(seed, SHUFFLE, epoch as u64).permutation(images)
}

/// Adds to `state` the tensors that `tape` names and `state` lacks. Tensors that are in no checkpoint are added as
/// data.
pub(super) fn add_missing(gpu: &Gpu, state: &mut State, tape: &Tape) -> Result<()> {
    let types = tape.state_types();
    for (name, ty) in types.iter().filter(|t| is_passing(&t.0)) {
        if state.ty(name).is_none() {
            state.insert_resident(gpu, name, *ty, &vec![0; ty.bytes() as usize])?;
        }
    }
    state.insert_missing(gpu, &types)
}

/// The cursor of an interrupted run in `folder`. The run's tensors are written over those of `state`. `None` if nothing
/// was saved yet.
pub(super) fn load_cursor(folder: &Path, gpu: &Gpu, state: &State, made: &Provenance) -> Result<Option<Cursor>> {
    let Some(saved) = begun(folder, made)? else { return Ok(None) };
    let cursor = Cursor::read(&folder.join(STATE), &saved.metadata)?;
    saved.restore(gpu, state)?;
    Ok(Some(cursor))
}

/// The checkpoint of the stage that `made` began in the folder. `None` if nothing was begun. It is an error if another
/// stage was begun there.
pub(super) fn begun(folder: &Path, made: &Provenance) -> Result<Option<Checkpoint>> {
    let path = folder.join(STATE);
    if !files::exists(&path)? {
        return Ok(None);
    }
    let saved = Checkpoint::open(&path)?;
    // This comes first: if another version wrote the checkpoint, what it lacks is not damage.
    if saved.metadata.get("address").is_some_and(|address| *address != made.address) {
        return Err(made.another(folder));
    }
    Ok(Some(saved))
}

#[cfg(test)]
mod tests;
