//! A stage of training that can be stopped anywhere: epochs of shuffled batches through one plan, metrics from a ring on
//! the device, a checkpoint every few seconds, and the same bits whether it was interrupted or not.
//!
//! What a step does depends on (seed, epoch, step) and the state alone; a checkpoint is the state and a cursor. Times
//! are kept beside it, in `clock.json`, so that the checkpoint of a resumed run equals that of an uninterrupted one.

mod log;
mod ring;
mod watch;

use super::batches::Batches;
use super::cursor::{Cursor, Extent, history};
use super::folder::object;
use super::names::{EPOCHS, REDO, STATE};
use super::provenance::Provenance;
use super::results::{EpochRecord, Phase, read_epochs, write_epochs};
use super::session::Job;
use super::turns::{COMMON, Plans, scalar, terms};
use crate::base::rng::Rng;
use crate::base::text::counted;
use crate::base::{Error, Result, files, seal};
use crate::device::{Gpu, Ticket};
use crate::nn::checkpoint::{self, Checkpoint};
use crate::nn::{Optimization, Progress, Turn};
use crate::tape::{Feed, Plan, State, Tape};
use log::Log;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use watch::{CLOCK, Clock, Watch};

/// The stream of the batch order.
const SHUFFLE: u32 = 0x7368_7566; // "shuf"

/// The sums of one epoch and how many images they are over.
pub(super) struct EpochSums<'a> {
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
    /// Steps after which the stage ends, within an epoch too; none where its epochs say it. Rates are those of its epochs.
    pub limit: Option<usize>,
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

    /// The names of all columns.
    fn names(&self) -> impl Iterator<Item = &String> {
        self.turns.iter().flat_map(|t| &t.1)
    }

    /// Steps of all epochs that are done.
    fn done(&self, at: &Cursor) -> usize {
        at.epoch * self.steps() + at.step
    }

    /// Steps of the whole stage.
    fn total(&self) -> usize {
        let all = self.optimization.epochs * self.steps();
        self.limit.map_or(all, |limit| limit.min(all))
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
            steps: String::new(),
        }
    }

    /// Runs the steps that are left and returns the records of all epochs, the seconds they took and the final cursor.
    pub fn run(&self, plans: &[Plans], state: &State, mut at: Cursor) -> Result<(Vec<EpochRecord>, f64, Cursor)> {
        self.check(&at)?;
        self.check_feeds(plans)?;
        let records = self.records(&at)?;
        let watch = Watch::new(self.read_clock(&at));
        let log = Log::open(self.folder, (&at, self.done(&at)), &records, watch.clock.started_s)?;
        let mut told = Told { records, watch, log };
        let per_epoch = self.taken(self.steps());
        let of = |steps: usize| steps / self.steps() * per_epoch + self.taken(steps % self.steps());
        let (total, done) = (of(self.total()) as u64, of(self.done(&at)) as u64);
        self.job.progress.stage(&self.name, total, done, "images");
        while at.epoch * self.steps() < self.total() {
            let order = self.task.begin_epoch(state, self.progress(&at, 0), self.order(at.epoch))?;
            self.epoch((plans, &order), state, &mut at, &mut told)?;
            if at.step < self.steps() {
                break; // the limit lies within the epoch
            }
            let skipped_steps = self.skipped(&at)?;
            let (run, stopping) = (&self.job.config.run, self.job.stop.load(Ordering::Relaxed));
            if stopping || told.watch.since_save_s() >= 0.5 * run.checkpoint_seconds {
                self.save(STATE, state, &at, &mut told)?; // the evaluation that follows may take long, or hears the stop
            }
            let sums = EpochSums { sums: &at.sums, seen: &order[..per_epoch] };
            let mut record = self.record(&at, skipped_steps);
            self.task.epoch(state, &sums, &mut record, &mut at.memory)?;
            record.seconds = told.watch.end_epoch();
            record.images_per_s = per_epoch as f64 / record.seconds.max(1e-9);
            told.log.epoch(&record)?;
            told.records.push(record);
            at = Cursor { epoch: at.epoch + 1, step: 0, sums: vec![0.0; self.columns()], ..at };
            write_epochs(self.folder, &told.records)?;
        }
        self.save(STATE, state, &at, &mut told)?;
        let last = told.records.last().map_or(String::new(), |r| format!(", loss {:.4}", r.loss));
        let steps = if at.step > 0 { format!(" and {}", counted(at.step, "step")) } else { String::new() };
        let epochs = counted(told.records.len(), "epoch");
        self.job.progress.done(&format!("{}: {epochs}{steps}{last}", self.name));
        Ok((told.records, told.watch.clock.total_s, at))
    }

    /// What the stage knows of an epoch whose steps are done.
    fn record(&self, at: &Cursor, skipped_steps: usize) -> EpochRecord {
        EpochRecord {
            phase: self.phase,
            epoch: at.epoch + 1,
            loss: at.sums[0] / self.steps() as f64,
            terms: BTreeMap::new(),
            lr: self.rate(at.epoch, self.steps() - 1),
            skipped_steps,
            train_accuracy: None,
            wrong_label_memorised: None,
            val_accuracy: None,
            test_accuracy: None,
            selection_precision: None,
            selection_recall: None,
            feature_std: None,
            effective_rank: None,
            collapsed: None,
            seconds: 0.0,
            images_per_s: 0.0,
        }
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
        told: &mut Told,
    ) -> Result<()> {
        let run = &self.job.config.run;
        let slots = run.loss_every;
        let end = self.steps().min(self.total() - at.epoch * self.steps());
        let mut unread = at.step;
        let mut in_flight: Option<Ticket> = None;
        told.log.begin(told.watch.elapsed_s());
        while at.step < end {
            let ticket = self.step(plans, order, at, slots)?;
            at.step += 1;
            // The host is one step ahead of the device, so that the clock below is the device's and a signal is heard in time.
            if let Some(before) = in_flight.replace(ticket) {
                self.job.gpu.wait_for(&before)?;
            }
            let stopping = self.job.stop.load(Ordering::Relaxed);
            let save = stopping || told.watch.since_save_s() >= run.checkpoint_seconds;
            let keep = run.save_every_steps > 0 && self.done(at).is_multiple_of(run.save_every_steps);
            if save || keep || at.step - unread == slots || at.step == end {
                self.read_ring(state, (at, unread), slots, (&mut told.log, &told.watch))?;
                unread = at.step;
                self.say(at);
            }
            if keep {
                self.save(&kept_state(self.done(at)), state, at, told)?;
            }
            if save {
                self.save(STATE, state, at, told)?;
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

    /// Says where an epoch stands: the means of its losses so far, and the rate.
    fn say(&self, at: &Cursor) {
        let images = (at.epoch * self.taken(self.steps()) + self.taken(at.step)) as u64;
        let (epoch, epochs, loss) = (at.epoch + 1, self.optimization.epochs, at.sums[0] / at.step as f64);
        let names: Vec<String> = self.names().cloned().collect();
        let terms = terms(&names, &at.sums, at.step, &[]);
        let terms: Vec<String> = terms.iter().map(|(name, mean)| format!(", {name} {mean:.4}")).collect();
        let (terms, lr) = (terms.concat(), self.rate(at.epoch, at.step - 1));
        self.job.progress.step(images, &format!("epoch {epoch}/{epochs} loss {loss:.4}{terms}, lr {lr:.2e}"));
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

    /// Writes where the stage stands into a file called `name`.
    fn save(&self, name: &str, state: &State, at: &Cursor, told: &mut Told) -> Result<()> {
        told.log.sync()?;
        write_epochs(self.folder, &told.records)?;
        seal::write(&self.folder.join(CLOCK), &told.watch.read())?;
        let at = Cursor { history: history(&told.records)?, ..at.clone() };
        let cursor = serde_json::to_value(&at).map_err(|e| Error::Failed(format!("cannot write the cursor: {e}")))?;
        checkpoint::save_state(&self.folder.join(name), self.job.gpu, state, object(cursor))?;
        if name == STATE {
            told.watch.save();
        }
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

/// What a stage tells of itself.
struct Told {
    records: Vec<EpochRecord>,
    watch: Watch,
    log: Log,
}

/// The name of the file that keeps the state after so many steps.
fn kept_state(steps: usize) -> String {
    format!("state_{steps:06}.safetensors")
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
    // Of another run first: what a version before this one did not write is no damage.
    if saved.metadata.get("address").is_some_and(|address| *address != made.address) {
        return Err(made.another(folder));
    }
    let cursor = Cursor::read(&path, &saved.metadata)?;
    saved.restore(gpu, state)?;
    Ok(Some(cursor))
}

#[cfg(test)]
mod tests;
