//! What is kept of each image on the device: its loss in each turn of a step, for learners that plan epochs by the last
//! epoch's losses, and whether the step selected it, for learners that select images.

use crate::base::{Error, Result};
use crate::nn::recorder::{Recorder, Turn};
use crate::noise::learn::Learned;
use crate::tape::{Type, Var};

/// The names of two states: each image's newest loss in a turn, and each image's loss in the epoch before.
pub(super) fn losses_of(turn: &Turn) -> String {
    ["sample_loss", turn.name].join(".").trim_end_matches('.').to_string()
}

pub(super) fn losses_before(turn: &Turn) -> String {
    ["sample_loss_before", turn.name].join(".").trim_end_matches('.').to_string()
}

/// Writes the loss of each image of the step into the table of all images.
pub(super) fn keep_losses(r: &mut Recorder<'_>, turn: &Turn, learned: &Learned, images: usize) -> Result<()> {
    let Some(losses) = learned.losses else {
        return Err(Error::Failed("a learner that plans epochs must give the loss of each image".into()));
    };
    keep(r, &losses_of(turn), losses, images)
}

/// The state that says whether the first network's last step with each image selected it: f32 [images, 1], 1 or 0.
pub(super) const SELECTED: &str = "selected";

/// Writes `values` [batch], one for each image of the step, into the table `name` [images, 1].
pub(super) fn keep(r: &mut Recorder<'_>, name: &str, values: Var, images: usize) -> Result<()> {
    let (indices, batch) = (r.indices, r.batch);
    r.t.layer(name.split('.').next().unwrap_or(name), |t| {
        let values = t.detach(values)?;
        let rows = t.reshape(values, [batch, 1])?;
        let table = t.state(name, Type::f32([images, 1]))?;
        let sums = t.scatter_add(rows, indices, images)?;
        let ones = t.fill([batch, 1], 1.0)?;
        let seen = t.scatter_add(ones, indices, images)?;
        // An image that is more than once in a step gets the mean.
        let once = t.clamp(seen, 1.0, f32::INFINITY)?;
        let new = t.div(sums, once)?;
        let table = t.select(seen, new, table)?;
        t.assign(name, table)
    })
}
