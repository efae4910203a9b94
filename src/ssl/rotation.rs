//! RotNet (Gidaris et al. 2018, arXiv 1803.07728). Each image is turned by 0, 90, 180 and 270 degrees, all four are in
//! the batch, and the network tells the angle. The loss is the mean cross-entropy over the four (eq. 2 and 3).

use super::Method;
use crate::base::Result;
use crate::kernels::rotate::Border;
use crate::nn::Layer;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Recorder, Turn};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "rotation",
    about: "Rotation: by which quarter turn an image was turned (RotNet, Gidaris et al. 2018)",
    overlay: include_str!("../../configs/ssl/rotation.toml"),
    read: |from| read(from, |method: Rotation| Arc::new(method)),
};

/// How many quarter turns there are.
const TURNS: usize = 4;

/// `[pretraining.rotation]`: it has no settings of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {}

impl Checked for Rotation {}

impl Method for Rotation {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let (n, x) = (r.batch, r.view(0, &recipe)?);
        let (x, labels) = r.t.layer("turns", |t| {
            let (mut views, mut labels) = (vec![x], vec![t.fill_u32([n], 0)?]);
            for quarters in 1..TURNS {
                // A turn by whole quarters moves whole pixels, so no value is mixed from several.
                let angles = t.fill([n], 90.0 * quarters as f32)?;
                views.push(t.rotate_by(x, angles, Border::Zero)?);
                labels.push(t.fill_u32([n], quarters as u32)?);
            }
            Ok((t.concat(&views, 0)?, t.concat(&labels, 0)?))
        })?;
        let features = r.features(x)?;
        let logits = r.head("rotation", features, &[Layer::Linear(TURNS)])?;
        let loss = r.t.layer("loss", |t| {
            let weights = t.fill([TURNS * n], 1.0)?;
            Ok(t.cross_entropy(logits, labels, weights)?[0])
        })?;
        r.mean_over_images(loss)
    }
}
