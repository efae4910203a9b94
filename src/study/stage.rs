//! A stage of training that can be stopped anywhere: epochs of shuffled batches through one plan, metrics from a ring on
//! the device, a checkpoint every few seconds, and the same bits whether it was interrupted or not.
//!
//! What a step does depends on (seed, epoch, step) and the state alone; a checkpoint is the state and a cursor. Times
//! are kept beside it, in `clock.json`, so that the checkpoint of a resumed run equals that of an uninterrupted one.

use super::batches::Batches;
use super::cursor::{Cursor, Extent, history};
use super::folder::object;
use super::names::{EPOCHS, REDO, STATE};
use super::provenance::Provenance;
use super::results::{EpochRecord, Phase, read_epochs, write_epochs};
use super::session::Job;
use super::turns::{COMMON, Plans, ring_of, scalar};
use crate::base::rng::Rng;
use crate::base::text::counted;
use crate::base::{Error, Result, files, seal};
use crate::device::{Gpu, Ticket};
use crate::nn::checkpoint::{self, Checkpoint};
use crate::nn::{Optimization, Progress, Turn};
use crate::tape::{Feed, Plan, State, Tape};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Where the times of a run are kept.
const CLOCK: &str = "clock.json";

/// The stream of the batch order.
const SHUFFLE: u32 = 0x7368_7566; // "shuf"

/// Times of a run so far; not part of the checkpoint.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Clock {
    total_s: f64,
    epoch_s: f64,
}

/// The sums of one epoch and how many images they are over.
pub(super) struct EpochSums<'a> {
    pub epoch: usize,
    /// A sum over steps of each ring column.
    pub sums: &'a [f64],
    /// The images of its steps.
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
    /// The turns of a step, each with the columns of its ring: the first is the loss, the last the flag of its guard.
    pub turns: Vec<(Turn, Vec<String>)>,
    /// What differs between stages.
    pub task: &'a dyn Task,
}

/// What differs between stages.
pub(super) trait Task {
    /// The step's own inputs for these images, besides `indices`.
    fn inputs(&self, at: Progress, indices: &[u32]) -> Vec<(&'static str, Vec<u8>)>;
    /// Gives the order of images of an epoch, before its first step and when a stopped run goes on. Most take `usual`.
    fn begin_epoch(&self, _state: &State, _at: Progress, usual: Vec<usize>) -> Result<Vec<usize>> {
        Ok(usual)
    }
    /// The step's own scalars, besides those that every stage has.
    fn scalars(&self, _at: Progress) -> Vec<(&'static str, f32)> {
        Vec::new()
    }
    /// After an epoch: measures what belongs in its record. `memory` is kept in the checkpoint.
    fn epoch(
        &self,
        state: &State,
        sums: &EpochSums<'_>,
        record: &mut EpochRecord,
        memory: &mut serde_json::Value,
    ) -> Result<()>;
}

impl Stage<'_> {
    /// Steps of an epoch.
    pub fn steps(&self) -> usize {
        self.batches.steps()
    }

    fn taken(&self, steps: usize) -> usize {
        self.batches.taken(steps)
    }

    /// Columns of all rings together.
    fn columns(&self) -> usize {
        self.turns.iter().map(|t| t.1.len()).sum()
    }

    /// Each turn with the place of its first column among all.
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
        }
    }

    /// Runs the epochs that are left and returns the records of all of them, the seconds they took and the final cursor.
    pub fn run(&self, plans: &[Plans], state: &State, mut at: Cursor) -> Result<(Vec<EpochRecord>, f64, Cursor)> {
        self.check(&at)?;
        self.check_feeds(plans)?;
        let mut records = self.records(&at)?;
        let mut watch = Watch::new(self.read_clock(&at));
        let per_epoch = self.taken(self.steps()) as u64;
        let total = self.optimization.epochs as u64 * per_epoch;
        let done = at.epoch as u64 * per_epoch + self.taken(at.step) as u64;
        self.job.progress.stage(&self.name, total, done, "images");
        while at.epoch < self.optimization.epochs {
            let order = self.task.begin_epoch(state, self.progress(&at, 0), self.order(at.epoch))?;
            self.epoch((plans, &order), state, &mut at, &records, &mut watch)?;
            let skipped_steps = self.skipped(&at)?;
            if watch.since_save_s() >= 0.5 * self.job.config.run.checkpoint_seconds {
                self.save(state, &at, &records, &mut watch)?; // the evaluation that follows may take long
            }
            let sums = EpochSums { epoch: at.epoch, sums: &at.sums, seen: &order[..per_epoch as usize] };
            let mut record = EpochRecord {
                phase: self.phase,
                epoch: at.epoch + 1,
                loss: at.sums[0] / self.steps() as f64,
                terms: BTreeMap::new(),
                lr: self.rate(at.epoch, self.steps() - 1),
                skipped_steps,
                train_accuracy: None,
                wrong_label_memorised: None,
                val_accuracy: None,
                seconds: 0.0,
                images_per_s: 0.0,
            };
            self.task.epoch(state, &sums, &mut record, &mut at.memory)?;
            record.seconds = watch.end_epoch();
            record.images_per_s = per_epoch as f64 / record.seconds.max(1e-9);
            records.push(record);
            at = Cursor { epoch: at.epoch + 1, step: 0, sums: vec![0.0; self.columns()], ..at };
            write_epochs(self.folder, &records)?;
        }
        self.save(state, &at, &records, &mut watch)?;
        let last = records.last().map_or(String::new(), |r| format!(", loss {:.4}", r.loss));
        self.job.progress.done(&format!("{}: {}{last}", self.name, counted(records.len(), "epoch")));
        Ok((records, watch.clock.total_s, at))
    }

    /// The records of the epochs that are done. A missing one is an error: the run would report too few epochs.
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

    /// An error where the cursor is not a place of this stage.
    fn check(&self, at: &Cursor) -> Result<()> {
        let flags = self.placed().map(|(_, columns)| columns.end - 1).collect();
        let (epochs, steps, columns) = (self.optimization.epochs, self.steps(), self.columns());
        at.expect_within(&self.folder.join(STATE), &Extent { epochs, steps, columns, flags })
    }

    /// An error where a method gives a scalar or an input that no turn reads, or that has a name of the stage's own.
    fn check_feeds(&self, plans: &[Plans]) -> Result<()> {
        let (at, order) = (self.progress(&self.start(), 0), self.order(0));
        let indices: Vec<u32> = order[..self.taken(1)].iter().map(|&i| i as u32).collect();
        let schedules = || plans.iter().map(|p| p.whole.schedule());
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
        Progress { seed: self.seed, epoch: at.epoch, epochs, step: at.step, steps, repeat }
    }

    fn rate(&self, epoch: usize, step: usize) -> f64 {
        self.optimization.rate(epoch, step, self.steps())
    }

    /// The steps of one epoch that are left.
    fn epoch(
        &self,
        (plans, order): (&[Plans], &[usize]),
        state: &State,
        at: &mut Cursor,
        records: &[EpochRecord],
        watch: &mut Watch,
    ) -> Result<()> {
        let slots = self.job.config.run.loss_every;
        let mut unread = at.step;
        let mut in_flight: Option<Ticket> = None;
        while at.step < self.steps() {
            let ticket = self.step(plans, order, at, slots)?;
            at.step += 1;
            // The host is one step ahead of the device, so that the clock below is the device's and a signal is heard in time.
            if let Some(before) = in_flight.replace(ticket) {
                self.job.gpu.wait_for(&before)?;
            }
            let stopping = self.job.stop.load(Ordering::Relaxed);
            let save = stopping || watch.since_save_s() >= self.job.config.run.checkpoint_seconds;
            if save || at.step - unread == slots || at.step == self.steps() {
                self.read_ring(state, at, unread, slots)?;
                unread = at.step;
                let images = (at.epoch * self.taken(self.steps()) + self.taken(at.step)) as u64;
                let loss = at.sums[0] / at.step as f64;
                self.job
                    .progress
                    .step(images, &format!("epoch {}/{} loss {loss:.4}", at.epoch + 1, self.optimization.epochs));
            }
            if save {
                self.save(state, at, records, watch)?;
            }
            if stopping {
                return Err(Error::TryAgain(format!(
                    "{} was stopped at epoch {}, step {} and saved in {}; the same command goes on",
                    self.name,
                    at.epoch + 1,
                    at.step,
                    self.folder.display()
                )));
            }
        }
        Ok(())
    }

    /// Takes the turns of a step.
    fn step(&self, plans: &[Plans], order: &[usize], at: &Cursor, slots: usize) -> Result<Ticket> {
        let chosen = &order[self.taken(at.step)..self.taken(at.step + 1)];
        let indices: Vec<u32> = chosen.iter().map(|&i| i as u32).collect();
        let mut last = None;
        for ((turn, _), plans) in self.turns.iter().zip(plans) {
            let plan = plans.rest.as_ref().filter(|_| chosen.len() < self.batches.whole).unwrap_or(&plans.whole);
            for repeat in 0..turn.repeats {
                last = Some(self.turn(plan, turn, &indices, (at, repeat), slots)?);
            }
        }
        last.ok_or_else(|| Error::Failed("a step has no turn".into()))
    }

    fn turn(
        &self,
        plan: &Plan,
        turn: &Turn,
        indices: &[u32],
        (at, repeat): (&Cursor, usize),
        slots: usize,
    ) -> Result<Ticket> {
        let progress = self.progress(at, repeat);
        let (own, numbers) = (self.task.inputs(progress, indices), self.task.scalars(progress));
        let row = (at.step % slots) * turn.repeats + repeat;
        let lr = self.rate(at.epoch, at.step);
        let bias_lr = lr * self.optimization.optimizer.bias_lr_factor;
        let mut feed = Feed::new();
        // A turn takes what its recording names; another turn may take the rest.
        let schedule = plan.schedule();
        let common = [lr as f32, bias_lr as f32, at.epoch as f32, row as f32, repeat as f32];
        for name in &schedule.scalars {
            feed = scalar(name, common, &numbers).into_iter().fold(feed, |feed, value| feed.scalar(name, value));
        }
        let named = |name: &str| schedule.inputs.iter().any(|i| i.0 == name);
        if named("indices") {
            feed = feed.input("indices", indices);
        }
        feed.inputs.extend(own.iter().filter(|o| named(o.0)).map(|(n, b)| (*n, b.as_slice())));
        plan.run(self.job.gpu, &feed)
    }

    /// Adds the rows of steps `from..at.step` to the sums, a turn's repeats averaged; a loss that is not finite ends the run.
    fn read_ring(&self, state: &State, at: &mut Cursor, from: usize, slots: usize) -> Result<()> {
        for (turn, columns) in self.placed() {
            let ring = state.read_f32(self.job.gpu, &ring_of(turn))?;
            for (step, repeat) in (from..at.step).flat_map(|s| (0..turn.repeats).map(move |r| (s, r))) {
                let row = &ring[((step % slots) * turn.repeats + repeat) * columns.len()..][..columns.len()];
                let (flag, share) = (columns.len() - 1, 1.0 / turn.repeats as f64);
                if let Some(bad) = row[..flag].iter().position(|v| !v.is_finite()) {
                    let name = self.turns.iter().flat_map(|t| &t.1).nth(columns.start + bad);
                    return Err(self.not_finite(name.map_or("loss", String::as_str), (at.epoch, step), row[bad]));
                }
                let sums = &mut at.sums[columns.clone()];
                sums.iter_mut().zip(&row[..flag]).for_each(|(s, v)| *s += *v as f64 * share);
                sums[flag] += f64::from(u8::from(row[flag].to_bits() != 0)) * share; // a word, not a float
            }
        }
        Ok(())
    }

    fn not_finite(&self, name: &str, (epoch, step): (usize, usize), value: f32) -> Error {
        let kept = match self.folder.join(STATE).exists() {
            true => format!("the last checkpoint, from before it, is kept in {}", self.folder.display()),
            false => "nothing had been saved yet".to_string(),
        };
        Error::Failed(format!(
            "{}: the {name} of epoch {}, step {} is {value}; {kept}; a smaller lr or a longer warm-up may help",
            self.name,
            epoch + 1,
            step + 1
        ))
    }

    /// How many steps of the last epoch changed nothing, because a gradient was not finite though the loss was. Some are a
    /// warning; all steps of an epoch are an error.
    fn skipped(&self, at: &Cursor) -> Result<usize> {
        let steps = self.steps();
        // Of the turn that was skipped most: its shares of steps add up to whole ones but for rounding.
        let most = self.placed().map(|(_, columns)| at.sums[columns.end - 1]).fold(0.0, f64::max);
        let skipped = (most - 1e-6).ceil().max(0.0) as usize;
        let (name, epoch) = (&self.name, at.epoch + 1);
        let way_out = "a smaller lr or a longer warm-up may help";
        if skipped == steps {
            return Err(Error::Failed(format!(
                "{name}: all {steps} steps of epoch {epoch} were skipped, because a gradient of each was not finite; \
                 nothing is learnt this way; {way_out}, and so may other weights to start from"
            )));
        }
        if skipped > 0 {
            let what = "were skipped, because a gradient was not finite";
            self.job
                .progress
                .note(&format!("warning: {name}: {skipped} of {steps} steps of epoch {epoch} {what}; {way_out}"));
        }
        Ok(skipped)
    }

    fn save(&self, state: &State, at: &Cursor, records: &[EpochRecord], watch: &mut Watch) -> Result<()> {
        write_epochs(self.folder, records)?;
        seal::write(&self.folder.join(CLOCK), &watch.read())?;
        let at = Cursor { history: history(records)?, ..at.clone() };
        let cursor = serde_json::to_value(&at).map_err(|e| Error::Failed(format!("cannot write the cursor: {e}")))?;
        checkpoint::save_state(&self.folder.join(STATE), self.job.gpu, state, object(cursor))?;
        watch.saved = Instant::now();
        Ok(())
    }

    /// Times of the earlier runs that left a checkpoint. Where the clock is missing or damaged, a warning says so.
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

/// The order in which an epoch takes the images.
pub(super) fn order(seed: u64, epoch: usize, images: usize) -> Vec<usize> {
    Rng::new(seed, SHUFFLE, epoch as u64).permutation(images)
}

/// Adds to `state` what `tape` names and it lacks. The ring is added as data: its rows are read before every save, so a
/// checkpoint need not hold it and does not depend on its length.
pub(super) fn add_missing(gpu: &Gpu, state: &mut State, tape: &Tape) -> Result<()> {
    let types = tape.state_types();
    for (name, ty) in types.iter().filter(|t| t.0 == "metrics" || t.0.starts_with("metrics.")) {
        if state.ty(name).is_none() {
            state.insert_resident(gpu, name, *ty, &vec![0; ty.bytes() as usize])?;
        }
    }
    state.insert_missing(gpu, &types)
}

/// The cursor of an interrupted run in `folder`, its tensors written over those of `state`; none where nothing was
/// saved yet.
pub(super) fn load_cursor(folder: &Path, gpu: &Gpu, state: &State, made: &Provenance) -> Result<Option<Cursor>> {
    let path = folder.join(STATE);
    if !files::exists(&path)? {
        return Ok(None);
    }
    let saved = Checkpoint::open(&path)?;
    let cursor = Cursor::read(&path, &saved.metadata)?;
    if cursor.address != made.address {
        return Err(made.another(folder));
    }
    saved.restore(gpu, state)?;
    Ok(Some(cursor))
}

/// Adds up seconds over interruptions.
struct Watch {
    clock: Clock,
    since: Instant,
    saved: Instant,
}

impl Watch {
    fn new(clock: Clock) -> Self {
        Watch { clock, since: Instant::now(), saved: Instant::now() }
    }

    fn read(&mut self) -> Clock {
        let s = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        self.clock.total_s += s;
        self.clock.epoch_s += s;
        self.clock
    }

    fn end_epoch(&mut self) -> f64 {
        let s = self.read().epoch_s;
        self.clock.epoch_s = 0.0;
        s
    }

    fn since_save_s(&self) -> f64 {
        self.saved.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
