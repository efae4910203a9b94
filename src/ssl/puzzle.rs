//! What puzzles have in common. Images are cut into pieces that lie in some order, and the network tells the order. One
//! network sees each piece. A head sees the features of all pieces of an image, in their order, and tells which order
//! it is.

use crate::base::Result;
use crate::base::rng::Rng;
use crate::nn::Layer;
use crate::nn::recorder::{Loss, Progress, Recorder};
use crate::tape::{Type, Var};

/// The inputs: for each place of a puzzle the row of its piece among the features, and the number of each image's
/// order.
const INPUTS: [&str; 2] = ["puzzle_rows", "puzzle_labels"];

/// Records the rest of a puzzle. x [pieces · batch, C, h, w] holds the first piece of each image, then the second, and
/// so on. A head with the layers `each` sees every piece, then one with the layers `all` sees all pieces of an image.
/// The loss is the mean cross-entropy over `orders` classes.
pub(super) fn solved(
    r: &mut Recorder<'_>,
    x: Var,
    (pieces, orders): (usize, usize),
    each: &[Layer],
    all: &[Layer],
) -> Result<Loss> {
    let n = r.batch;
    let (rows, labels) = (r.input(INPUTS[0], Type::u32([n * pieces]))?, r.input(INPUTS[1], Type::u32([n]))?);
    let features = r.features(x)?;
    let features = r.head("piece", features, each)?;
    let d = r.t.shape(features).dim(1);
    let in_order = r.t.layer("order", |t| {
        let in_order = t.gather(features, rows)?;
        t.reshape(in_order, [n, pieces * d])
    })?;
    let logits = r.head("puzzle", in_order, &[all, &[Layer::Linear(orders)]].concat())?;
    let loss = r.t.layer("loss", |t| {
        let weights = t.fill([n], 1.0)?;
        Ok(t.cross_entropy(logits, labels, weights)?[0])
    })?;
    r.mean_over_images(loss)
}

/// The inputs of [`solved`]. (seed, epoch, image) draws the order of each image.
pub(super) fn inputs(
    at: Progress,
    (indices, stream): (&[u32], u32),
    orders: &[Vec<u8>],
) -> Vec<(&'static str, Vec<u8>)> {
    let draw = |&i: &u32| Rng::new(at.seed, stream, (at.epoch as u64) << 32 | u64::from(i)).below(orders.len()) as u32;
    let labels: Vec<u32> = indices.iter().map(draw).collect();
    let n = indices.len() as u32;
    let rows_of = |(image, &label): (usize, &u32)| {
        orders[label as usize].iter().map(move |&piece| u32::from(piece) * n + image as u32)
    };
    let rows: Vec<u32> = labels.iter().enumerate().flat_map(rows_of).collect();
    let bytes = |v: &[u32]| bytemuck::cast_slice(v).to_vec();
    vec![(INPUTS[0], bytes(&rows)), (INPUTS[1], bytes(&labels))]
}
