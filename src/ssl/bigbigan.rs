//! BigBiGAN (Donahue & Simonyan 2019, arXiv 1907.02544, section 2): an encoder E and a generator G against a
//! discriminator of pairs. E is the backbone with a head that gives the mean μ and the deviation σ of a Gaussian, and
//! ẑ = μ + σ·ε. G makes x̂ of z drawn from N(0, I). Pairs (x, ẑ) have y = 1, pairs (x̂, z) have y = −1. The
//! discriminator has three parts: F sees the image, H the code, and J the features of both. They give the scores s_x,
//! s_z and s_xz. Two losses are minimised in turns, each a mean over the batch, with h(t) = max(0, 1 − t):
//!
//! - discriminators: h(y·s_x) + h(y·s_z) + h(y·s_xz)
//! - encoder and generator: y·(s_x + s_z + s_xz)
//!
//! The first is minimised `discriminator_steps` times for each time of the second. The weights of G, F, H and J are
//! divided by their spectral norms. The turn of encoder and generator uses the z, ε and dropout of the step's first
//! turn.
//!
//! The networks are BigGAN's blocks. Their widths, and the dropout in the head of E, in H and in J, are those of the
//! code that the study's first author trained (github.com/Bidur-Khanal/BigBiGAN-PyTorch). Where that code departs from
//! the paper, this file follows the paper: in that code E has no σ, the losses are a third of these, and z is cut at
//! one deviation. That code's images lie in [0, 1], so its generator ends with a sigmoid. Images here are standardised,
//! and their range differs between datasets. So nothing follows the generator's last convolution, and the
//! discriminators teach it the range. Both the paper and the code have self-attention, which is left out here. In the
//! paper the learning rate of E is ten times the others'; here all players have one learning rate.

mod networks;

use super::{Method, head_key};
use crate::base::range::{Mistake, between, mistake};
use crate::base::rng::Rng;
use crate::base::{Error, Result};
use crate::kernels::hinge::Hinge;
use crate::nn::Backbone;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::nn::sequential::linear;
use crate::tape::{Type, Var};
use networks::{Masks, Weights, dropped, generator, image_features, mlp, score, softplus};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "bigbigan",
    about: "BigBiGAN: an encoder and a generator against three discriminators (Donahue & Simonyan 2019)",
    overlay: include_str!("../../configs/ssl/bigbigan.toml"),
    read: |from| read(from, |method: BigBiGan| Arc::new(method)),
};

/// The players besides the encoder, which has no name.
const GENERATOR: &str = "generator";
const DISCRIMINATORS: &str = "discriminators";
/// Names of the scores. The terms of both losses have the same names.
const SCORES: [&str; 3] = ["s_x", "s_z", "s_xz"];
/// The inputs: z, ε and the factors of dropout.
const LATENT: &str = "latent";
const NOISE: &str = "noise";
const MASKS: &str = "dropout";
/// The random stream that z, ε and dropout are drawn from.
const STREAM: u32 = 0x6269_6769; // "bigi"

/// `[pretraining.bigbigan]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BigBiGan {
    /// Length of z.
    pub latent_dim: usize,
    /// How often the discriminators are trained for each time that the encoder and the generator are.
    pub discriminator_steps: usize,
    /// The probability that an activation is dropped in the blocks of the encoder's head, of H and of J.
    pub dropout: f64,
    /// Widths of the residual blocks between the backbone and the code.
    pub encoder_dims: Vec<usize>,
    /// Channels of the generator's blocks. Each block doubles the sides of its map. The first map has the first number
    /// of channels.
    pub generator_dims: Vec<usize>,
    /// Channels of the blocks of F. Each block halves the sides.
    pub image_discriminator_dims: Vec<usize>,
    /// Widths of the residual blocks of H.
    pub latent_discriminator_dims: Vec<usize>,
    /// Widths of the residual blocks of J.
    pub joint_discriminator_dims: Vec<usize>,
}

/// The most blocks of a network.
const BLOCKS: usize = 12;

impl Checked for BigBiGan {
    fn check(&self) -> Result<(), Mistake> {
        for (key, dims) in [
            ("encoder_dims", &self.encoder_dims),
            ("generator_dims", &self.generator_dims),
            ("image_discriminator_dims", &self.image_discriminator_dims),
            ("latent_discriminator_dims", &self.latent_discriminator_dims),
            ("joint_discriminator_dims", &self.joint_discriminator_dims),
        ] {
            if !(1..=BLOCKS).contains(&dims.len()) {
                return mistake(key, format!("has {} widths; use 1 to {BLOCKS}", dims.len()));
            }
            dims.iter().try_for_each(|&d| between(key, d, 1, 65_536))?;
        }
        // The code is cut into a part for the first map and a part for each block.
        between("latent_dim", self.latent_dim, self.generator_dims.len() + 1, 65_536)?;
        between("discriminator_steps", self.discriminator_steps, 1, 100)?;
        if !(0.0..1.0).contains(&self.dropout) {
            return mistake("dropout", format!("is {}; use 0 to below 1", self.dropout));
        }
        Ok(())
    }
}

impl BigBiGan {
    /// Length of the input of dropout for a step of `n` images. First come the encoder's numbers, then those of H and
    /// J.
    fn dropped(&self, n: usize) -> usize {
        let [h, j] = [&self.latent_discriminator_dims, &self.joint_discriminator_dims].map(|d| dropped(d, 2 * n));
        if self.dropout == 0.0 { 0 } else { dropped(&self.encoder_dims, n) + h + j }
    }

    /// It is an error if the generator's blocks cannot make images of these sides.
    fn expect_sides(&self, [height, width]: [usize; 2]) -> Result<(), Mistake> {
        let blocks = self.generator_dims.len();
        let step = 1 << blocks;
        if height.is_multiple_of(step) && width.is_multiple_of(step) {
            return Ok(());
        }
        let fewer = height.trailing_zeros().min(width.trailing_zeros());
        let instead = if fewer > 0 { format!(", or {fewer} widths") } else { String::new() };
        let what = format!(
            "has {blocks} widths, each of which doubles the sides of an image, so these are multiples of {step} and never \
             {height} × {width}; use such a data.image_size{instead}"
        );
        mistake("generator_dims", what)
    }

    /// ẑ of images x f32 [N, C, H, W]: [N, latent].
    fn encoded(&self, r: &mut Recorder<'_>, x: Var, masks: &mut Masks) -> Result<Var> {
        let features = r.features(x)?;
        let h = mlp(r, "encoder", features, (&self.encoder_dims, Weights::Plain), masks)?;
        let mean = linear(r.t, r.params, "encoder.mean", h, self.latent_dim)?;
        let deviation = linear(r.t, r.params, "encoder.deviation", h, self.latent_dim)?;
        let deviation = softplus(r, deviation)?;
        let noise = r.input(NOISE, Type::f32([r.batch, self.latent_dim]))?;
        let spread = r.t.mul(deviation, noise)?;
        r.t.add(mean, spread)
    }

    /// The scores s_x, s_z and s_xz of pairs, [N, 1] each.
    fn scores(&self, r: &mut Recorder<'_>, (x, z): (Var, Var), masks: &mut Masks) -> Result<[Var; 3]> {
        let seen = image_features(r, "image", x, &self.image_discriminator_dims)?;
        let read = mlp(r, "latent", z, (&self.latent_discriminator_dims, Weights::Normalized), masks)?;
        let both = r.t.concat(&[seen, read], 1)?;
        let joint = mlp(r, "joint", both, (&self.joint_discriminator_dims, Weights::Normalized), masks)?;
        Ok([score(r, "image", seen)?, score(r, "latent", read)?, score(r, "joint", joint)?])
    }
}

/// What one score adds to the loss of a turn, f32 [1]. The score [2N, 1] holds the encoded pairs, then the generated
/// pairs.
fn term(r: &mut Recorder<'_>, name: &str, score: Var, for_discriminators: bool) -> Result<Var> {
    let n = r.batch;
    r.t.layer(name, |t| {
        let (encoded, generated) = (t.slice(score, 0, 0, n)?, t.slice(score, 0, n, n)?);
        let weights = t.fill([n], 1.0)?;
        if for_discriminators {
            let [real, _] = t.hinge(encoded, weights, Hinge::Real)?;
            let [fake, _] = t.hinge(generated, weights, Hinge::Fake)?;
            return t.add(real, fake);
        }
        // Hinge::Generator is the mean of −s.
        let [encoded, _] = t.hinge(encoded, weights, Hinge::Generator)?;
        let [generated, _] = t.hinge(generated, weights, Hinge::Generator)?;
        t.sub(generated, encoded)
    })
}

impl Method for BigBiGan {
    /// Its three turns pass images through each other's networks, and none has one place where the loss of all begins.
    fn takes_micro_batches(&self) -> bool {
        false
    }

    fn turns(&self) -> Vec<Turn> {
        vec![
            Turn { name: DISCRIMINATORS, repeats: self.discriminator_steps, trains: &[DISCRIMINATORS] },
            Turn { name: GENERATOR, repeats: 1, trains: &["", GENERATOR] },
        ]
    }

    fn record(&self, turn: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let x = r.view(0, &recipe)?;
        let image = r.t.shape(x).nchw("bigbigan", "x")?;
        let sides = self.expect_sides([image[2], image[3]]);
        sides.map_err(|(key, what)| Error::Usage(format!("pretraining.bigbigan.{key} {what}")))?;
        let masks = &mut Masks::new(r, MASKS, self.dropped(r.batch))?;
        let encoded = self.encoded(r, x, masks)?;
        let z = r.input(LATENT, Type::f32([r.batch, self.latent_dim]))?;
        let generated = r.player(GENERATOR, None, |r| generator(r, z, image, &self.generator_dims))?;
        // The discriminators have no batch norm, so both kinds of pairs can pass them together.
        let pairs = (r.t.concat(&[x, generated], 0)?, r.t.concat(&[encoded, z], 0)?);
        let for_discriminators = turn.name == DISCRIMINATORS;
        let pairs = match for_discriminators {
            true => (r.t.detach(pairs.0)?, r.t.detach(pairs.1)?),
            false => pairs,
        };
        let scores = r.player(DISCRIMINATORS, None, |r| self.scores(r, pairs, masks))?;
        let mut terms = Vec::new();
        for (name, score) in SCORES.into_iter().zip(scores) {
            terms.push((name, term(r, name, score, for_discriminators)?));
        }
        let sum = r.t.add(terms[0].1, terms[1].1)?;
        Ok(Loss { total: r.t.add(sum, terms[2].1)?, terms })
    }

    fn inputs(&self, at: Progress, indices: &[u32], _: &dyn Backbone, _: [usize; 2]) -> Vec<(&'static str, Vec<u8>)> {
        let (n, step) = (indices.len(), (at.epoch * at.steps + at.step) * self.discriminator_steps + at.repeat);
        let mut rng = Rng::new(at.seed, STREAM, step as u64);
        let mut normal = || (0..n * self.latent_dim).map(|_| rng.normal()).collect::<Vec<f32>>();
        let (latent, noise) = (normal(), normal());
        let mut all = vec![(LATENT, bytemuck::cast_slice(&latent).to_vec())];
        all.push((NOISE, bytemuck::cast_slice(&noise).to_vec()));
        if self.dropout > 0.0 {
            let dropped = self.dropout as f32;
            let mask = || if rng.uniform() < dropped { 0.0 } else { 1.0 / (1.0 - dropped) };
            let masks: Vec<f32> = std::iter::repeat_with(mask).take(self.dropped(n)).collect();
            all.push((MASKS, bytemuck::cast_slice(&masks).to_vec()));
        }
        all
    }

    fn takes_backbone(&self, _: &dyn Backbone, size: [usize; 2]) -> Result<(), Mistake> {
        self.expect_sides(size)
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        // The length of the code is one side of these layers' weights. The longer side decides how large they are.
        let beside = |parts: &[&str], width: Option<&usize>| {
            width.is_some_and(|&w| self.latent_dim > w) && parts.iter().any(|part| parameter.contains(part))
        };
        if beside(&["encoder.mean.", "encoder.deviation."], self.encoder_dims.last())
            || beside(&["discriminators.latent.block0."], self.latent_discriminator_dims.first())
        {
            return Some(("latent_dim", self.latent_dim.to_string()));
        }
        let dims = |dims: &[usize]| format!("{dims:?}");
        head_key(
            parameter,
            [
                ("generator.", "generator_dims", dims(&self.generator_dims)),
                ("discriminators.image.", "image_discriminator_dims", dims(&self.image_discriminator_dims)),
                ("discriminators.latent.", "latent_discriminator_dims", dims(&self.latent_discriminator_dims)),
                ("discriminators.joint.", "joint_discriminator_dims", dims(&self.joint_discriminator_dims)),
                ("encoder.", "encoder_dims", dims(&self.encoder_dims)),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{ResNet, Stem};

    fn method(more: &str) -> BigBiGan {
        let table: toml::Table = toml::from_str(ENTRY.overlay).unwrap();
        let mut own = table["pretraining"]["bigbigan"].as_table().unwrap().clone();
        for key in ["batch_size", "warmup_epochs", "schedule", "optimizer", "augmentation"] {
            own.remove(key).unwrap();
        }
        own.extend(toml::from_str::<toml::Table>(more).unwrap());
        own.try_into().unwrap()
    }

    #[test]
    fn images_that_no_doubling_makes_are_refused_with_the_way_out() {
        let three = method("");
        assert!(three.expect_sides([32, 32]).is_ok() && three.expect_sides([8, 40]).is_ok());
        let said = |side| three.expect_sides([side; 2]).unwrap_err().1;
        assert_eq!(three.expect_sides([28, 28]).unwrap_err().0, "generator_dims");
        assert!(said(28).starts_with("has 3 widths"), "{}", said(28));
        assert!(said(28).contains("multiples of 8 and never 28 × 28"), "{}", said(28));
        assert!(said(28).ends_with("use such a data.image_size, or 2 widths"), "{}", said(28));
        assert!(said(35).ends_with("use such a data.image_size"), "no widths make an odd side: {}", said(35));
        assert!(method("generator_dims = [8, 8]").expect_sides([28, 28]).is_ok());
    }

    #[test]
    fn values_out_of_range_are_named() {
        assert_eq!(method("").check(), Ok(()));
        for (settings, key, what) in [
            ("latent_dim = 3", "latent_dim", "from 4"),
            ("dropout = 1.0", "dropout", "below 1"),
            ("discriminator_steps = 0", "discriminator_steps", "from 1"),
            ("encoder_dims = []", "encoder_dims", "has 0 widths"),
            ("generator_dims = [1, 0]", "generator_dims", "is 0"),
        ] {
            let (of, said) = method(settings).check().unwrap_err();
            assert!(of == key && said.contains(what), "{of} {said}");
        }
    }

    #[test]
    fn what_makes_a_parameter_large_is_named() {
        let (usual, long) = (method(""), method("latent_dim = 4000"));
        let key = |method: &BigBiGan, name| method.size_key(name, Type::f32([1])).map(|found| found.0);
        assert_eq!(key(&usual, "encoder.mean.weight"), Some("encoder_dims"));
        assert_eq!(key(&long, "encoder.mean.weight"), Some("latent_dim"));
        assert_eq!(key(&long, "discriminators.latent.block0.linear1.weight"), Some("latent_dim"));
        assert_eq!(key(&long, "discriminators.latent.block1.linear1.weight"), Some("latent_discriminator_dims"));
        assert_eq!(key(&usual, "generator.block1.conv1.weight"), Some("generator_dims"));
        assert_eq!(key(&usual, "discriminators.image.block1.conv1.weight"), Some("image_discriminator_dims"));
        assert_eq!(key(&usual, "backbone.conv1.weight"), None);
    }

    #[test]
    fn each_turn_of_a_step_has_draws_of_its_own() {
        let at = |step, repeat| Progress { seed: 5, epoch: 1, epochs: 2, step, steps: 3, repeat, before: 0 };
        let method = method("dropout = 0.25");
        let backbone = ResNet::resnet18(Stem::Small, 0.0625, 3);
        let inputs = |method: &BigBiGan, at| method.inputs(at, &[4, 7, 9], &backbone, [16, 16]);
        let draws = |step, repeat| inputs(&method, at(step, repeat));
        let all = [draws(0, 0), draws(0, 1), draws(1, 0)];
        assert_eq!(all[0], draws(0, 0));
        for (i, j) in [(0, 1), (0, 2), (1, 2)] {
            assert!(all[i].iter().zip(&all[j]).all(|(a, b)| a.0 == b.0 && a.1 != b.1));
        }
        let masks: Vec<f32> = bytemuck::pod_collect_to_vec(&all[0][2].1);
        // 3 rows for the encoder's layers, 6 for the discriminators'; each block has two layers.
        assert_eq!(masks.len(), 2 * (3 * 512 + 6 * 2 * 192));
        let dropped = masks.iter().filter(|m| **m == 0.0).count() as f32 / masks.len() as f32;
        assert!((dropped - 0.25).abs() < 0.02 && masks.iter().all(|m| *m == 0.0 || *m == 4.0 / 3.0), "{dropped}");
        assert_eq!(inputs(&BigBiGan { dropout: 0.0, ..method.clone() }, at(0, 0))[..], all[0][..2]);
    }
}
