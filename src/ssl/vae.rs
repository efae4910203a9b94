//! A variational autoencoder with a residual encoder (Kingma & Welling 2013, arXiv 1312.6114). The backbone and two
//! layers give the mean μ and the log-variance v of a Gaussian. A decoder makes the image x̂ of z = μ + exp(v/2)·ε (eq.
//! 10). L = mean (x − x̂)² + β·mean_k ½(μ² + exp(v) − 1 − v). The second term is the KL divergence of appendix B, the
//! mean over latent dimensions.
//!
//! The widths of the layers and the shape of the decoder are those of ResNetVAE (github.com/hsinyilin19/ResNetVAE).
//! That code has a binary cross-entropy, which needs images in [0, 1] and a sigmoid. Images here are standardised, so
//! the squared error of a Gaussian takes its place, and nothing follows the last batch norm.

use super::Method;
use crate::base::Result;
use crate::base::range::{Mistake, between, positive};
use crate::base::rng::Rng;
use crate::kernels::conv2d::Conv2d;
use crate::kernels::resize::Filter;
use crate::nn::Backbone;
use crate::nn::Layer::{BatchNorm, Linear, Relu, Unbiased};
use crate::nn::batch_norm::batch_norm;
use crate::nn::init::Init;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::tape::{Type, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "vae",
    about: "VAE: a residual encoder and a decoder (Kingma & Welling 2013)",
    overlay: include_str!("../../configs/ssl/vae.toml"),
    read: |from| read(from, |method: Vae| Arc::new(method)),
};

/// The input ε.
const NOISE: &str = "noise";
/// The random stream of ε.
const STREAM: u32 = 0x0076_6165; // "vae"
/// Channels of the decoder's maps. The first map has [`FIRST`] × [`FIRST`] pixels.
const CHANNELS: [usize; 3] = [64, 32, 8];
const FIRST: usize = 4;

/// `[pretraining.vae]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vae {
    /// Length of z.
    pub latent_dim: usize,
    /// Width of the layers between the backbone and z, and of the layer after z.
    pub hidden_dim: usize,
    /// β, the weight of the KL divergence.
    pub beta: f64,
}

impl Checked for Vae {
    fn check(&self) -> Result<(), Mistake> {
        between("latent_dim", self.latent_dim, 1, 65_536)?;
        between("hidden_dim", self.hidden_dim, 1, 65_536)?;
        positive("beta", self.beta)
    }
}

impl Vae {
    /// The image that the decoder makes of z f32 [N, latent]: [N, C, H, W].
    fn decoded(&self, r: &mut Recorder<'_>, z: Var, image: [usize; 4]) -> Result<Var> {
        let layers =
            [Unbiased(self.hidden_dim), BatchNorm, Relu, Unbiased(CHANNELS[0] * FIRST * FIRST), BatchNorm, Relu];
        let x = r.head("decoder", z, &layers)?;
        let [n, channels, height, width] = image;
        let mut x = r.t.reshape(x, [n, CHANNELS[0], FIRST, FIRST])?;
        for (i, k) in CHANNELS[1..].iter().copied().chain([channels]).enumerate() {
            x = grown(r, x, &format!("decoder.up{i}"), k)?;
            if i + 1 < CHANNELS.len() {
                x = r.t.relu(x)?;
            }
        }
        r.t.resize(x, [height as u32, width as u32], Filter::Bilinear)
    }
}

/// A transposed 3 × 3 convolution of stride 2 without bias, then batch norm: x [N, C, P, Q] gives [N, k, 2P + 1, 2Q + 1].
fn grown(r: &mut Recorder<'_>, x: Var, name: &str, k: usize) -> Result<Var> {
    let c = r.t.shape(x).dim(1);
    let (name, bn) = (r.named(name), r.named(&format!("{name}.")));
    // PyTorch takes k · 9, what one input reaches, as the fan of a transposed convolution.
    let w = r.params.weight(r.t, &format!("{name}.weight"), [c, k, 3, 3], Init::UniformFanIn(k * 9))?;
    let y = r.t.layer(&name, |t| t.conv_transpose2d(x, w, Conv2d::new(2, 0), 0))?;
    batch_norm(r.t, r.params, (&bn, "bn"), y, r.mode)
}

impl Method for Vae {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let x = r.view(0, &recipe)?;
        let image = r.t.shape(x).nchw("vae", "x")?;
        let (n, latent, hidden) = (r.batch, self.latent_dim, self.hidden_dim);
        let features = r.features(x)?;
        let layers = [Unbiased(hidden), BatchNorm, Relu, Unbiased(hidden), BatchNorm, Relu];
        let h = r.head("encoder", features, &layers)?;
        let (mean, log_variance) =
            (r.head("mean", h, &[Linear(latent)])?, r.head("log_variance", h, &[Linear(latent)])?);
        let noise = r.input(NOISE, Type::f32([n, latent]))?;
        let z = r.t.layer("z", |t| {
            let half = t.scale(log_variance, 0.5)?;
            let deviation = t.exp(half)?;
            let spread = t.mul(deviation, noise)?;
            t.add(mean, spread)
        })?;
        let decoded = self.decoded(r, z, image)?;
        let beta = self.beta as f32;
        let [total, reconstruction, kl] = r.t.layer("loss", |t| {
            let pixels = image[1] * image[2] * image[3];
            let (decoded, x) = (t.reshape(decoded, [n, pixels])?, t.reshape(x, [n, pixels])?);
            let weights = t.fill([n], 1.0)?;
            let [reconstruction, _] = t.mse(decoded, x, weights)?;
            let [kl, _] = t.kl_gaussian(mean, log_variance, weights)?;
            let kl = t.scale(kl, beta / latent as f32)?;
            Ok([t.add(reconstruction, kl)?, reconstruction, kl])
        })?;
        r.mean_over_images(Loss { total, terms: vec![("reconstruction", reconstruction), ("kl", kl)] })
    }

    fn inputs(&self, at: Progress, indices: &[u32], _: &dyn Backbone, _: [usize; 2]) -> Vec<(&'static str, Vec<u8>)> {
        let mut rng = Rng::new(at.seed, STREAM, (at.epoch * at.steps + at.step) as u64);
        // Skips the draws of the images before these.
        (0..at.before * self.latent_dim).for_each(|_| _ = rng.normal());
        let noise: Vec<f32> = (0..indices.len() * self.latent_dim).map(|_| rng.normal()).collect();
        vec![(NOISE, bytemuck::cast_slice(&noise).to_vec())]
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        // Both lengths are sides of these layers' weights. The longer side decides how large they are.
        let of_both = ["mean.", "log_variance.", "decoder.0."].iter().any(|part| parameter.contains(part));
        if of_both && self.latent_dim > self.hidden_dim {
            return Some(("latent_dim", self.latent_dim.to_string()));
        }
        let hidden = of_both || ["encoder.", "decoder."].iter().any(|part| parameter.contains(part));
        hidden.then(|| ("hidden_dim", self.hidden_dim.to_string()))
    }
}
