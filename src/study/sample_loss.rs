//! Each image's loss in each turn of a step, kept on the device for learners whose epochs follow from the last one's losses.

use crate::base::{Error, Result};
use crate::nn::recorder::{Recorder, Turn};
use crate::noise::learn::Learned;
use crate::tape::Type;

/// The state that holds each image's newest loss in a turn, and the one that holds those of the epoch before.
pub(super) fn losses_of(turn: &Turn) -> String {
    ["sample_loss", turn.name].join(".").trim_end_matches('.').to_string()
}

pub(super) fn losses_before(turn: &Turn) -> String {
    ["sample_loss_before", turn.name].join(".").trim_end_matches('.').to_string()
}

/// Writes the loss of each of the step's images into the table of all.
pub(super) fn keep_losses(r: &mut Recorder<'_>, turn: &Turn, learned: &Learned, images: usize) -> Result<()> {
    let Some(losses) = learned.losses else {
        return Err(Error::Failed("a learner that plans epochs must give the loss of each image".into()));
    };
    let (indices, batch, name) = (r.indices, r.batch, losses_of(turn));
    r.t.layer("sample_loss", |t| {
        let losses = t.detach(losses)?;
        let rows = t.reshape(losses, [batch, 1])?;
        let table = t.state(&name, Type::f32([images, 1]))?;
        let sums = t.scatter_add(rows, indices, images)?;
        let ones = t.fill([batch, 1], 1.0)?;
        let seen = t.scatter_add(ones, indices, images)?;
        // The mean, where an image stands more than once in a step.
        let once = t.clamp(seen, 1.0, f32::INFINITY)?;
        let new = t.div(sums, once)?;
        let table = t.select(seen, new, table)?;
        t.assign(&name, table)
    })
}
