//! The steps of an epoch. Each takes its turns. Between steps metrics are read, state is saved, and a request to stop
//! is seen.

use super::{STATE, Stage, Told, kept_state};
use crate::base::{Error, Result};
use crate::data::store::{Step, Steps};
use crate::device::Ticket;
use crate::nn::micro::INDEX;
use crate::nn::{Progress, Turn};
use crate::study::cursor::Cursor;
use crate::study::turns::{Plans, common, scalar};
use crate::tape::{Feed, Plan, State};
use std::ops::Range;
use std::sync::atomic::Ordering;

impl Stage<'_> {
    /// Runs the steps of one epoch that are left.
    pub(super) fn epoch(
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
        let ahead = self.ahead(order, at.step..end)?;
        while at.step < end {
            let images = ahead.as_ref().map_or(Ok(None), |ahead| ahead.next(&|note| self.job.progress.note(note)))?;
            let ticket = self.step(plans, (order, images.as_ref()), at, slots)?;
            at.step += 1;
            // The host is one step ahead of the device. So the clock below is the device's, and a signal is seen in
            // time.
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

    /// Reports where an epoch stands: its mean loss so far, and the learning rate. `steps.jsonl` has the parts of the loss.
    fn say(&self, at: &Cursor) {
        let images = (at.epoch * self.taken(self.steps()) + self.taken(at.step)) as u64;
        let (epoch, epochs, loss) = (at.epoch + 1, self.optimization.epochs, at.sums[0] / at.step as f64);
        let lr = self.rate(at.epoch, at.step - 1);
        self.job.progress.step(images, &format!("epoch {epoch}/{epochs} loss {loss:.4}, lr {lr:.2e}"));
    }

    /// The images of a step.
    fn chosen(&self, order: &[usize], step: usize) -> Vec<u32> {
        order[self.taken(step)..self.taken(step + 1)].iter().map(|&i| i as u32).collect()
    }

    /// Begins to read the images of these steps of an epoch, where they are streamed.
    fn ahead(&self, order: &[usize], steps: Range<usize>) -> Result<Option<Steps<'_>>> {
        self.images.map(|images| images.steps(steps.map(|step| self.chosen(order, step)))).transpose()
    }

    /// Takes the turns of a step.
    fn step(
        &self,
        plans: &[Plans],
        (order, images): (&[usize], Option<&Step<'_>>),
        at: &Cursor,
        slots: usize,
    ) -> Result<Ticket> {
        let indices = self.chosen(order, at.step);
        let mut last = None;
        for ((turn, _), plans) in self.turns.iter().zip(plans) {
            let program = plans.rest.as_ref().filter(|_| indices.len() < self.batches.whole).unwrap_or(&plans.whole);
            for repeat in 0..turn.repeats {
                for (plan, times) in program.stages() {
                    // What runs several times in a turn sees as many parts of the batch.
                    for (part, chosen) in indices.chunks(indices.len() / times).enumerate() {
                        last = Some(self.run_plan((plan, turn), (chosen, images, part), (at, repeat), slots)?);
                    }
                }
            }
        }
        last.ok_or_else(|| Error::Failed("a step has no turn".into()))
    }

    /// Runs a plan of a turn on part `part` of the batch.
    fn run_plan(
        &self,
        (plan, turn): (&Plan, &Turn),
        (indices, images, part): (&[u32], Option<&Step<'_>>, usize),
        (at, repeat): (&Cursor, usize),
        slots: usize,
    ) -> Result<Ticket> {
        let progress = Progress { before: part * indices.len(), ..self.progress(at, repeat) };
        let (own, numbers) = (self.task.inputs(progress, indices), self.task.scalars(progress));
        let row = (at.step % slots) * turn.repeats + repeat;
        let lr = self.rate(at.epoch, at.step);
        let mut feed = Feed::new();
        // A turn gets the inputs and scalars that its recording names. Other turns may read the rest.
        let schedule = plan.schedule();
        let common = common(&self.optimization, lr, [at.epoch, row, repeat]);
        for name in &schedule.scalars {
            feed = scalar(name, common, &numbers).into_iter().fold(feed, |feed, value| feed.scalar(name, value));
        }
        let named = |name: &str| schedule.inputs.iter().any(|i| i.0 == name);
        if named("indices") {
            feed = feed.input("indices", indices);
        }
        if let Some(images) = images {
            images.feed(&mut feed, part * indices.len()..(part + 1) * indices.len(), &named);
        }
        let part = [part as u32];
        if named(INDEX) {
            feed = feed.input(INDEX, &part);
        }
        feed.inputs.extend(own.iter().filter(|o| named(o.0)).map(|(n, b)| (*n, b.as_slice())));
        plan.run(self.job.gpu, &feed)
    }
}
