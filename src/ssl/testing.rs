//! Methods that only tests use. They are small enough to follow by hand: a teacher with a momentum that rises, two
//! players in turns, and a method with an input and a head of its own.

use super::Method;
use crate::base::Result;
use crate::base::rng::Rng;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::nn::{Backbone, Layer, Mode};
use crate::tape::{Type, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The list of them.
pub const METHODS: &[&Entry<dyn Method>] = &[
    &Entry {
        name: "test_teacher",
        about: "a student that matches a teacher which follows it",
        overlay: "[pretraining.test_teacher]\nmomentum = 0.9\n",
        read: |from| read(from, |method: Teacher| Arc::new(method)),
    },
    &Entry {
        name: "test_duel",
        about: "a critic that tells views apart, and a backbone that fools it",
        overlay: "[pretraining.test_duel]\n",
        read: |from| read(from, |method: Duel| Arc::new(method)),
    },
    &Entry {
        name: "test_constant",
        about: "features that are to be zero for every image: it collapses",
        overlay: "[pretraining.test_constant]\noptimizer.lr = 0.1\n",
        read: |from| read(from, |method: Constant| Arc::new(method)),
    },
    &Entry {
        name: "test_ghost",
        about: "SimCLR whose batch norm sees parts of the images, both views of each",
        overlay: "[pretraining.test_ghost]\nparts = 2\nprojection_dims = [16, 8]\n",
        read: |from| read(from, |method: Ghost| Arc::new(method)),
    },
    &Entry {
        name: "test_pretext",
        about: "a head that predicts an input of the method's own",
        overlay: "[pretraining.test_pretext]\nclasses = 3\nbatch_size = 6\noptimizer.name = \"sgd\"\n",
        read: |from| read(from, |method: Pretext| Arc::new(method)),
    },
];

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Constant {}

impl Checked for Constant {}

impl Method for Constant {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let x = r.view(0, &recipe)?;
        let features = r.features(x)?;
        let shape = r.t.shape(features);
        let (target, weights) = (r.t.fill(shape, 0.0)?, ones(r, r.batch)?);
        let loss = r.t.mse(features, target, weights)?[0];
        r.mean_over_images(loss)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Teacher {
    momentum: f64,
}

impl Checked for Teacher {}

fn ones(r: &mut Recorder<'_>, rows: usize) -> Result<Var> {
    r.t.fill([rows], 1.0)
}

fn head(r: &mut Recorder<'_>, x: Var, name: &str, k: usize) -> Result<Var> {
    r.head(name, x, &[Layer::Linear(k)])
}

impl Method for Teacher {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let (x, y) = (r.view(0, &recipe)?, r.view(1, &recipe)?);
        let features = r.features(x)?;
        let z = head(r, features, "projection", 8)?;
        let target = r.player("teacher", Some(""), |r| {
            let features = r.features(y)?;
            head(r, features, "projection", 8)
        })?;
        let (target, weights) = (r.t.detach(target)?, ones(r, r.batch)?);
        let [loss, _] = r.t.negative_cosine(z, target, weights, 1e-8)?;
        // The square of the student's output keeps it from growing. It is also a second term, so that tests see the
        // terms' names.
        let zeros = r.t.scale(target, 0.0)?;
        let [size, _] = r.t.mse(z, zeros, weights)?;
        let total = r.t.add(loss, size)?;
        r.mean_over_images(Loss { total, terms: vec![("match", loss), ("size", size)] })
    }

    /// The teacher follows the updated student.
    fn after_update(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<()> {
        let momentum = r.t.scalar("momentum")?;
        r.follow("teacher", momentum)
    }

    fn scalars(&self, at: Progress) -> Vec<(&'static str, f32)> {
        vec![("momentum", (1.0 - (1.0 - self.momentum) * (1.0 - at.share())) as f32)]
    }
}

/// SimCLR whose batch norm sees each part of the images, written out in one recording. SimCLR in micro-batches must
/// equal it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ghost {
    parts: usize,
    projection_dims: [usize; 2],
}

impl Checked for Ghost {}

impl Method for Ghost {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let (n, part) = (r.batch, r.batch / self.parts);
        let views = [r.view(0, &recipe)?, r.view(1, &recipe)?];
        let mut pieces = Vec::new();
        for i in 0..self.parts {
            for view in views {
                pieces.push(r.t.slice(view, 0, i * part, part)?);
            }
        }
        let x = r.t.concat(&pieces, 0)?;
        r.mode = Mode::Split(self.parts);
        let features = r.features(x)?;
        let [hidden, out] = self.projection_dims;
        let z = r.head("projection", features, &[Layer::Linear(hidden), Layer::Relu, Layer::Linear(out)])?;
        let z = r.t.reshape(z, [self.parts, 2, part * out])?;
        let z = r.t.permute(z, &[1, 0, 2])?;
        let z = r.t.reshape(z, [2 * n, out])?;
        let z = r.t.l2_normalize(z, 1e-12)?;
        Ok(r.t.nt_xent(z, 0.5)?.into())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Duel {}

impl Checked for Duel {}

impl Method for Duel {
    fn turns(&self) -> Vec<Turn> {
        vec![
            Turn { name: "critic", repeats: 2, trains: &["judge"] },
            Turn { name: "encoder", repeats: 1, trains: &[""] },
        ]
    }

    fn record(&self, turn: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let x = r.view(u32::from(turn.name == "critic"), &recipe)?;
        let features = r.features(x)?;
        let features = if turn.name == "critic" { r.t.detach(features)? } else { features };
        let score = r.player("judge", None, |r| head(r, features, "score", 1))?;
        let (n, due) = (r.batch, if turn.name == "critic" { 0.0 } else { 1.0 });
        let (weights, target) = (ones(r, n)?, r.t.fill([n, 1], due)?);
        let [loss, _] = r.t.bce_with_logits(score, target, weights, None)?;
        Ok(loss.into())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pretext {
    classes: usize,
}

impl Checked for Pretext {}

impl Method for Pretext {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let x = r.view(0, &recipe)?;
        let labels = r.input("pretext", Type::u32([r.batch]))?;
        let features = r.features(x)?;
        let logits = head(r, features, "pretext", self.classes)?;
        let weights = ones(r, r.batch)?;
        let [loss, _, _] = r.t.cross_entropy(logits, labels, weights)?;
        Ok(loss.into())
    }

    fn inputs(&self, at: Progress, indices: &[u32], _: &dyn Backbone, _: [usize; 2]) -> Vec<(&'static str, Vec<u8>)> {
        let label = |i: &u32| Rng::new(at.seed ^ at.epoch as u64, 7, u64::from(*i)).below(self.classes) as u32;
        let labels: Vec<u32> = indices.iter().map(label).collect();
        vec![("pretext", bytemuck::cast_slice(&labels).to_vec())]
    }
}
