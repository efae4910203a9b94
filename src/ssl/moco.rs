//! MoCo v2 (He et al. 2019, arXiv 1911.05722; Chen et al. 2020, arXiv 2003.04297). InfoNCE compares queries with the
//! keys that a slowly moving copy of the network makes, and with a queue of earlier keys (eq. 1). After each update θ_k
//! ← m θ_k + (1 − m) θ_q (eq. 2).
//!
//! With plain batch norm a query could recognize its key by the statistics that both share. The authors shuffle the
//! keys between devices. Here, as in their code for a single device, batch norm sees parts of the batch, and the keys
//! lie in another order in it. The running statistics follow those of the whole batch, as evaluation needs; the
//! authors' follow the mean of the parts' statistics.

use super::{Method, head_key};
use crate::base::range::{Mistake, between, mistake, positive, share};
use crate::base::rng::Rng;
use crate::base::{Error, Result};
use crate::nn::init::Init;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::nn::{Backbone, Layer, Mode};
use crate::tape::{Type, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "moco",
    about: "MoCo v2: queries, a queue of keys, InfoNCE (He et al. 2019, Chen et al. 2020)",
    overlay: include_str!("../../configs/ssl/moco.toml"),
    read: |from| read(from, |method: Moco| Arc::new(method)),
};

/// The player that makes the keys.
const KEY: &str = "key";
/// The keys of earlier steps, and the row where the next key goes.
const QUEUE: [&str; 2] = ["queue", "queue_pointer"];
/// The scalar m.
const MOMENTUM: &str = "momentum";
/// The images of the step in the order in which the key network sees them, and the row where each image's key then
/// lies.
const SHUFFLED: [&str; 2] = ["shuffled_indices", "unshuffle"];
/// The random stream of the shuffle.
const STREAM: u32 = 0x6d6f_636f; // "moco"

/// `[pretraining.moco]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moco {
    /// τ of the softmax over similarities.
    pub temperature: f64,
    /// m, the share of the key network that is kept at each step.
    pub momentum: f64,
    /// K, the keys in the queue.
    pub queue_size: usize,
    /// Number of parts of the batch with batch norm statistics of their own.
    pub batch_norm_splits: usize,
    /// The head: width of the hidden layer, length of a key.
    pub projection_dims: [usize; 2],
}

impl Checked for Moco {
    fn check(&self) -> Result<(), Mistake> {
        positive("temperature", self.temperature)?;
        share("momentum", self.momentum)?;
        between("queue_size", self.queue_size, 1, 1 << 24)?;
        between("batch_norm_splits", self.batch_norm_splits, 1, 1024)?;
        self.projection_dims.iter().try_for_each(|&d| between("projection_dims", d, 1, 65_536))
    }
}

impl Moco {
    /// Keys or queries of images x, each of length 1: [N, length].
    fn encoded(&self, r: &mut Recorder<'_>, x: Var) -> Result<Var> {
        let features = r.features(x)?;
        let [hidden, out] = self.projection_dims;
        let z = r.head("projection", features, &[Layer::Linear(hidden), Layer::Relu, Layer::Linear(out)])?;
        r.t.l2_normalize(z, 1e-12)
    }
}

impl Method for Moco {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        // The number of images may be smaller than the config's batch size, and only here it is known.
        self.takes_batch(r.batch).map_err(|(key, what)| Error::Usage(format!("pretraining.moco.{key} {what}")))?;
        let recipe = r.recipe.clone();
        r.mode = Mode::Split(self.batch_norm_splits);
        let x = r.view(0, &recipe)?;
        let query = self.encoded(r, x)?;
        let [shuffled, unshuffle] = SHUFFLED.map(|name| r.input(name, Type::u32([r.batch])));
        let (shuffled, unshuffle) = (shuffled?, unshuffle?);
        let views = r.views;
        let x = r.t.layer("view1", |t| views.view(t, shuffled, 1, &recipe))?;
        let key = r.player(KEY, Some(""), |r| self.encoded(r, x))?;
        let key = r.t.layer("loss", |t| t.gather(key, unshuffle))?;
        let [query, key] = r.whole_batch([query, key])?;
        let (n, temperature) = (r.batch, self.temperature as f32);
        let queue = r.params.statistic(r.t, QUEUE[0], [self.queue_size, self.projection_dims[1]], Init::UnitRows)?;
        let loss = r.t.layer("loss", |t| {
            let (key, weights) = (t.detach(key)?, t.fill([n], 1.0)?);
            let loss = t.info_nce([query, key, queue], weights, temperature)?[0];
            t.enqueue(QUEUE[0], QUEUE[1], key)?;
            Ok(loss)
        })?;
        Ok(loss.into())
    }

    fn after_update(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<()> {
        let keep = r.t.scalar(MOMENTUM)?;
        r.follow(KEY, keep)
    }

    fn scalars(&self, _: Progress) -> Vec<(&'static str, f32)> {
        vec![(MOMENTUM, self.momentum as f32)]
    }

    fn inputs(&self, at: Progress, indices: &[u32], _: &dyn Backbone, _: [usize; 2]) -> Vec<(&'static str, Vec<u8>)> {
        let step = (at.epoch * at.steps + at.step) as u64;
        let mut rng = Rng::new(at.seed, STREAM, step);
        // Each micro-batch is shuffled by itself. Draws of the micro-batches before this one are skipped.
        (0..at.before / indices.len().max(1)).for_each(|_| _ = rng.permutation(indices.len()));
        let order = rng.permutation(indices.len());
        let shuffled: Vec<u32> = order.iter().map(|&i| indices[i]).collect();
        let mut unshuffle = vec![0u32; order.len()];
        order.iter().enumerate().for_each(|(at, &i)| unshuffle[i] = at as u32);
        let bytes = |v: &[u32]| bytemuck::cast_slice(v).to_vec();
        vec![(SHUFFLED[0], bytes(&shuffled)), (SHUFFLED[1], bytes(&unshuffle))]
    }

    fn batch_multiple(&self) -> usize {
        self.batch_norm_splits
    }

    fn takes_batch(&self, batch: usize) -> Result<(), Mistake> {
        let (splits, keys) = (self.batch_norm_splits, self.queue_size);
        if !batch.is_multiple_of(splits) || batch / splits < 2 {
            let what =
                format!("is {splits}, and a step has {batch} images; use a divisor of it, at most {}", batch / 2);
            return mistake("batch_norm_splits", what);
        }
        if batch > keys {
            return mistake("queue_size", format!("is {keys}, and a step adds {batch} keys; use {batch} or more"));
        }
        Ok(())
    }

    fn note(&self, images: usize) -> Option<Mistake> {
        (self.queue_size >= images).then(|| {
            let what = format!(
                "is {} and there are {images} training images, so older keys of a step's own images stand among its \
                 negatives; a queue shorter than an epoch holds fewer of them",
                self.queue_size
            );
            ("queue_size".to_string(), what)
        })
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        let queue = (QUEUE[0], "queue_size", self.queue_size.to_string());
        head_key(parameter, [("projection.", "projection_dims", format!("{:?}", self.projection_dims)), queue])
    }
}
