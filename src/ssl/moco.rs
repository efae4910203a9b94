//! MoCo v2 (He et al. 2019, arXiv 1911.05722; Chen et al. 2020, arXiv 2003.04297): queries against the keys of a slowly moving
//! copy of the network and a queue of earlier keys, by InfoNCE (eq. 1); θ_k ← m θ_k + (1 − m) θ_q after each update (eq. 2).
//!
//! Batch norm would let a query know its key by their common statistics. The authors shuffle the keys between devices;
//! here, as in their single-device code, batch norm sees parts of the batch, and the keys lie in another order in it. The
//! running statistics follow those of the whole batch, which evaluation sees; theirs follow the mean of the parts'.

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

/// Its line in the list.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "moco",
    about: "MoCo v2: queries, a queue of keys, InfoNCE (He et al. 2019, Chen et al. 2020)",
    overlay: include_str!("../../configs/ssl/moco.toml"),
    read: |from| read(from, |method: Moco| Arc::new(method)),
};

/// Who makes the keys.
const KEY: &str = "key";
/// The keys of earlier steps, and where the next ones go.
const QUEUE: [&str; 2] = ["queue", "queue_pointer"];
/// The scalar m.
const MOMENTUM: &str = "momentum";
/// Images of the step in the order in which the key network sees them, and where each image's key lies then.
const SHUFFLED: [&str; 2] = ["shuffled_indices", "unshuffle"];
/// The stream of the shuffle.
const STREAM: u32 = 0x6d6f_636f; // "moco"

/// `[pretraining.moco]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moco {
    /// τ of the softmax over similarities.
    pub temperature: f64,
    /// m.
    pub momentum: f64,
    /// K, the keys in the queue.
    pub queue_size: usize,
    /// Parts of the batch that batch norm sees alone.
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
    /// Keys or queries of length 1.
    fn encoded(&self, r: &mut Recorder<'_>, x: Var) -> Result<Var> {
        let features = r.features(x)?;
        let [hidden, out] = self.projection_dims;
        let z = r.head("projection", features, &[Layer::Linear(hidden), Layer::Relu, Layer::Linear(out)])?;
        r.t.l2_normalize(z, 1e-12)
    }
}

impl Method for Moco {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        // A set of fewer images than the config's batch is known here alone.
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
        // A micro-batch is shuffled by itself, each in another order.
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
