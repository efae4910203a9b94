//! What a stage reads from the rings of its turns: the numbers of each step. It checks that they are finite.

use super::super::cursor::Cursor;
use super::super::names::STATE;
use super::super::results::StepRecord;
use super::super::turns::{ring_of, terms};
use super::{Stage, log::Log, watch::Watch};
use crate::base::{Error, Result};
use crate::tape::State;

impl Stage<'_> {
    /// Logs the steps `from..at.step` and adds them to the sums. The repeats of a turn are averaged. A loss that is not
    /// finite ends the run.
    pub(super) fn read_ring(
        &self,
        state: &State,
        (at, from): (&mut Cursor, usize),
        slots: usize,
        (log, watch): (&mut Log, &Watch),
    ) -> Result<()> {
        let mut rows = vec![vec![0.0; at.sums.len()]; at.step - from];
        for (turn, columns) in self.placed() {
            let ring = state.read_f32(self.job.gpu, &ring_of(turn))?;
            for (step, repeat) in (from..at.step).flat_map(|s| (0..turn.repeats).map(move |r| (s, r))) {
                let row = &ring[((step % slots) * turn.repeats + repeat) * columns.len()..][..columns.len()];
                let (flag, share) = (columns.len() - 1, 1.0 / turn.repeats as f64);
                if let Some(bad) = row[..flag].iter().position(|v| !v.is_finite()) {
                    let name = self.names().nth(columns.start + bad);
                    return Err(self.not_finite(name.map_or("loss", String::as_str), (at.epoch, step), row[bad]));
                }
                let numbers = row[..flag].iter().map(|v| f64::from(*v));
                let skipped = f64::from(u8::from(row[flag].to_bits() != 0)); // a word, not a float
                for (column, number) in columns.clone().zip(numbers.chain([skipped])) {
                    at.sums[column] += number * share;
                    rows[step - from][column] += number * share;
                }
            }
        }
        self.tell(&rows, (at, from), log, watch.elapsed_s())
    }

    /// Logs these rows. The first of them is of step `from`.
    fn tell(&self, rows: &[Vec<f64>], (at, from): (&mut Cursor, usize), log: &mut Log, elapsed_s: f64) -> Result<()> {
        let images = self.batches.taken(at.step) - self.batches.taken(from);
        let images_per_s = images as f64 / log.took_s(elapsed_s).max(1e-9);
        let columns: Vec<String> = self.names().cloned().collect();
        let mut records = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            let skipped = self.placed().any(|(_, columns)| row[columns.end - 1] > 0.0);
            let record = StepRecord {
                phase: self.phase,
                epoch: at.epoch + 1,
                step: log.count() + i + 1,
                loss: row[0],
                terms: terms(&columns, row, 1, &[]),
                lr: self.rate(at.epoch, from + i),
                skipped,
                elapsed_s,
                images_per_s,
            };
            at.steps = record.history(&at.steps)?;
            records.push(record);
        }
        log.steps(&records)
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

    /// How many steps of the last epoch changed nothing because a gradient was not finite though the loss was. If there
    /// are some, it warns; if all steps were skipped, that is an error.
    pub(super) fn skipped(&self, at: &Cursor) -> Result<usize> {
        let steps = self.steps();
        // The turn that was skipped most counts. Shares of repeats add up to whole steps, except for rounding.
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
}
