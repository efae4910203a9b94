//! The recordings of a turn in micro-batches.

use super::session::Job;
use super::turns::{Minimized, Update, scoped};
use crate::base::{Error, Result};
use crate::nn::Params;
use crate::nn::micro::{Micro, Pass};
use crate::nn::recorder::{Recorder, Turn};
use crate::tape::{Tape, Var};

/// Records `f` on a tape of its own, with a recorder of the given number of images.
pub(super) type Taped<'a> = &'a dyn Fn(&mut Params, usize, &mut Recording<'_>) -> Result<Tape>;
/// What `f` may be.
pub(super) type Recording<'a> = dyn FnMut(&mut Recorder<'_>) -> Result<()> + 'a;

/// A turn in micro-batches: its recordings, each with how often it runs, and the column names of its ring of metrics.
pub(super) type Passes = (Vec<(Tape, usize)>, Vec<String>);

/// How many images a step has, and a micro-batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub batch: usize,
    pub micro: usize,
    /// The config's key of `micro`.
    pub key: &'a str,
}

/// Records the passes of a turn, see [`Micro`]. `params` holds the parameters of earlier turns; those of this turn are
/// added.
pub(super) fn record(
    job: &Job<'_>,
    update: &Update<'_>,
    (turn, params): (&Turn, &mut Params),
    Parts { batch, micro, key }: Parts<'_>,
    taped: Taped<'_>,
    minimize: &dyn Fn(&mut Recorder<'_>) -> Result<Minimized>,
    after: &dyn Fn(&mut Recorder<'_>) -> Result<()>,
) -> Result<Passes> {
    let batches = batch / micro;
    let earlier = params.clone();
    let begin = |pass| {
        let mut begun = earlier.clone();
        begun.micro = Some(Micro::new(batches, pass, update.optimization.precision.loss_scale()));
        begun
    };
    // Records a pass. `end` ends it, from its loss and from the parameters that the turn trains.
    let pass = |pass, end: &mut End<'_>| {
        taped(&mut begin(pass), micro, &mut |r| {
            scoped(turn, r, |r| {
                let (loss, _) = minimize(r)?;
                let trained = update.trained(job, turn, r.params)?;
                let ongoing = r.params.micro.as_mut().ok_or_else(lost)?;
                ongoing.expect_cut(update.name, key)?;
                end(ongoing, r.t, loss.total, &trained)
            })
        })
    };
    let (mut tapes, mut is_mean, mut wanted) = (Vec::new(), false, Vec::new());
    let embed = pass(Pass::Embed, &mut |micro, t, _, _| {
        is_mean = micro.is_mean();
        micro.keep_embeddings(t)
    })?;
    if !is_mean {
        let loss = pass(Pass::Loss, &mut |micro, t, loss, trained| {
            wanted = micro.keep_gradient(t, loss, trained)?;
            Ok(())
        })?;
        tapes.extend([(embed, batches), (loss, 1)]);
    }
    let backward = pass(Pass::Backward, &mut |micro, t, _, trained| micro.add_gradients(t, trained, &wanted))?;
    tapes.push((backward, batches));
    let mut columns = Vec::new();
    *params = begin(Pass::Update);
    let updated = taped(params, micro, &mut |r| {
        columns = update.record(job, turn, r, minimize, after)?;
        r.params.micro.as_mut().ok_or_else(lost)?.begin_anew(r.t)
    })?;
    params.micro = None;
    tapes.push((updated, 1));
    Ok((tapes, columns))
}

/// Ends a pass.
type End<'a> = dyn FnMut(&mut Micro, &mut Tape, Var, &[String]) -> Result<()> + 'a;

fn lost() -> Error {
    Error::Failed("a recording in micro-batches has lost what it keeps".into())
}

#[cfg(test)]
mod tests;
