//! MAE (He et al. 2021, arXiv 2111.06377). Most patches of an image are hidden. A vision transformer encodes the other
//! patches. A small decoder sees a learnt token in place of each hidden patch, and predicts the pixels of the hidden
//! patches. The loss is the mean squared error of a patch, over the hidden patches only (section 3). With
//! `norm_pix_loss` each patch's pixels are standardised before: less their mean, over √(their unbiased variance +
//! 10⁻⁶). Positions are fixed sines and cosines in the encoder and in the decoder.
//!
//! The decoder's parameters have the names and initial values of the authors' code (appendix A.1). The encoder begins
//! as every vision transformer here, except for its positions, which later training changes. In the decoder the hidden
//! patches come after the visible ones. The authors put them back in their places, which makes no difference, because
//! attention knows a place only by its position embedding. The encoder ends with the norm that the backbone has (`norm`
//! or `fc_norm`), on each token. In f16 the decoder's activations are f16, as the encoder's are, and what it predicts becomes
//! f32 before the loss.

use super::{Method, head_key};
use crate::base::range::{Mistake, between, mistake};
use crate::base::rng::Rng;
use crate::base::{DType, Error, Result};
use crate::nn::init::Init;
use crate::nn::listed::{Checked, Entry, read};
use crate::nn::precision::weight_as;
use crate::nn::recorder::{Loss, Progress, Recorder, Turn};
use crate::nn::{Backbone, Transformer};
use crate::tape::{Type, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Its entry in the list of methods.
pub const ENTRY: Entry<dyn Method> = Entry {
    name: "mae",
    about: "MAE: the pixels of hidden patches (He et al. 2021)",
    overlay: include_str!("../../configs/ssl/mae.toml"),
    read: |from| read(from, |method: Mae| Arc::new(method)),
};

/// The inputs: rows of the visible tokens, class tokens included, and rows of the hidden patches.
const INPUTS: [&str; 2] = ["visible_tokens", "hidden_patches"];
/// The random stream of the masks.
const STREAM: u32 = 0x006d_6165; // "mae"
/// Added to the variance of a patch's pixels.
const EPS: f64 = 1e-6;

/// `[pretraining.mae]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mae {
    /// Share of the patches that are hidden.
    pub mask_ratio: f64,
    /// Whether the pixels of each patch are standardised before they are predicted.
    pub norm_pix_loss: bool,
    /// Length of the decoder's tokens.
    pub decoder_embed_dim: usize,
    /// Blocks of the decoder.
    pub decoder_depth: usize,
    /// Heads of the decoder's attention.
    pub decoder_num_heads: usize,
}

impl Checked for Mae {
    fn check(&self) -> Result<(), Mistake> {
        if !(self.mask_ratio > 0.0 && self.mask_ratio < 1.0) {
            return mistake("mask_ratio", format!("is {}; use a share above 0 and below 1", self.mask_ratio));
        }
        between("decoder_depth", self.decoder_depth, 1, 64)?;
        let (dim, heads) = (self.decoder_embed_dim, self.decoder_num_heads);
        between("decoder_num_heads", heads, 1, 1024)?;
        between("decoder_embed_dim", dim, 4, 65_536)?;
        if !dim.is_multiple_of(4) || !dim.is_multiple_of(heads) {
            let what = format!("is {dim}; use a multiple of 4 and of decoder_num_heads, which is {heads}");
            return mistake("decoder_embed_dim", what);
        }
        Ok(())
    }
}

/// How images are cut into patches.
#[derive(Clone, Copy)]
struct Grid {
    batch: usize,
    channels: usize,
    patch: usize,
    /// Number of patches from top to bottom, and from left to right.
    sides: [usize; 2],
    /// How many patches of an image are visible.
    visible: usize,
}

impl Grid {
    fn patches(&self) -> usize {
        self.sides[0] * self.sides[1]
    }

    fn hidden(&self) -> usize {
        self.patches() - self.visible
    }

    /// How many numbers a patch has.
    fn pixels(&self) -> usize {
        self.channels * self.patch * self.patch
    }
}

impl Mae {
    /// How many of `patches` patches are visible, rounded as in the authors' code.
    fn visible(&self, patches: usize) -> usize {
        (patches as f64 * (1.0 - self.mask_ratio)) as usize
    }

    /// How many rows and columns of patches `backbone` cuts images into. The error is a key and a sentence.
    fn sides(&self, backbone: &dyn Backbone, [height, width]: [usize; 2]) -> Result<[usize; 2], Mistake> {
        let Some(patch) = backbone.patch_size() else {
            return mistake("model.arch", "works on the patches of a vision transformer; use vit_tiny or vit_small");
        };
        let sides = [height / patch.max(1), width / patch.max(1)];
        let (patches, visible) = (sides[0] * sides[1], self.visible(sides[0] * sides[1]));
        if visible == 0 || visible == patches {
            let what = format!("is {}, and {visible} of {patches} patches of an image are seen", self.mask_ratio);
            return mistake("mask_ratio", format!("{what}; let some be seen and some hidden, or use smaller patches"));
        }
        if self.norm_pix_loss && backbone.in_channels() * patch * patch < 2 {
            return mistake("norm_pix_loss", "is true, and a patch is one number; use larger patches");
        }
        if !backbone.features().is_multiple_of(4) {
            let what = format!("needs tokens whose length is a multiple of 4, and has {}", backbone.features());
            return mistake("model.arch", what);
        }
        Ok(sides)
    }

    fn grid(&self, r: &Recorder<'_>, x: Var) -> Result<Grid> {
        let [batch, channels, height, width] = r.t.shape(x).nchw("mae", "x")?;
        let sides = self.sides(r.backbone, [height, width]);
        let sides = sides.map_err(|(key, what)| match key.as_str() {
            "model.arch" => Error::Usage(format!("mae {what}")),
            _ => Error::Usage(format!("pretraining.mae.{key} {what}")),
        })?;
        let (patch, patches) = (height / sides[0], sides[0] * sides[1]);
        Ok(Grid { batch, channels, patch, sides, visible: self.visible(patches) })
    }

    /// The prediction for the hidden patches, [N · hidden, pixels], from the visible tokens z [N, 1 + visible, D].
    fn decoded(&self, r: &mut Recorder<'_>, z: Var, [visible, hidden]: [Var; 2], grid: Grid) -> Result<Var> {
        let (n, tokens, dim) = (grid.batch, grid.patches() + 1, self.decoder_embed_dim);
        let (name, init) = (r.named("decoder_pos_embed"), Init::SineCosine { columns: grid.sides[1] });
        let dtype = r.t.ty(z).dtype;
        let position = r.params.statistic(r.t, &name, [1, tokens, dim], init)?;
        let position = weight_as(r.t, position, dtype)?;
        let mask_token =
            r.params.weight(r.t, &r.params.named_by_player("mask_token"), [1, 1, dim], Init::Normal(0.02))?;
        let mask_token = weight_as(r.t, mask_token, dtype)?;
        let (prefix, heads, init) = (r.named("decoder_"), self.decoder_num_heads, Init::XavierUniform);
        let mut decoder = Transformer { t: r.t, params: r.params, prefix: &prefix, heads, layer_scale: false, init };
        let width = decoder.t.shape(z).dim(2);
        let z = decoder.t.reshape(z, [n * (1 + grid.visible), width])?;
        let z = decoder.linear(z, "embed", dim)?;
        let z = decoder.t.layer("decoder_tokens", |t| {
            let all = t.broadcast(position, [n, tokens, dim])?;
            let rows = t.reshape(all, [n * tokens, dim])?;
            let places = t.gather(rows, visible)?;
            let seen = t.add(z, places)?;
            let seen = t.reshape(seen, [n, 1 + grid.visible, dim])?;
            let patches = t.slice(all, 1, 1, grid.patches())?;
            let rows = t.reshape(patches, [n * grid.patches(), dim])?;
            let places = t.gather(rows, hidden)?;
            let places = t.reshape(places, [n, grid.hidden(), dim])?;
            let token = t.broadcast(mask_token, [n, grid.hidden(), dim])?;
            let unseen = t.add(token, places)?;
            t.concat(&[seen, unseen], 1)
        })?;
        let z = decoder.blocks(z, self.decoder_depth)?;
        // Only the hidden patches are asked for, and what follows works on each token.
        let z = decoder.t.slice(z, 1, 1 + grid.visible, grid.hidden())?;
        let z = decoder.t.reshape(z, [n * grid.hidden(), dim])?;
        let z = decoder.norm(z, "norm")?;
        let told = decoder.linear(z, "pred", grid.pixels())?;
        decoder.t.layer("pred", |t| t.cast(told, DType::F32))
    }

    /// The pixels of the hidden patches of x [N, C, H, W]: [N · hidden, pixels]. A patch is stored row by row, and the
    /// channels of a pixel lie together.
    fn target(&self, r: &mut Recorder<'_>, x: Var, hidden: Var, grid: Grid) -> Result<Var> {
        let Grid { batch, channels, patch, sides: [rows, columns], .. } = grid;
        let pixels = grid.pixels();
        r.t.layer("patches", |t| {
            // `permute` handles at most four groups of axes, so the channels are moved to the end first.
            let x = t.permute(x, &[0, 2, 3, 1])?;
            let x = t.reshape(x, [batch, rows, patch, columns, patch * channels])?;
            let x = t.permute(x, &[0, 1, 3, 2, 4])?;
            let x = t.reshape(x, [batch * grid.patches(), pixels])?;
            let x = t.gather(x, hidden)?;
            if !self.norm_pix_loss {
                return Ok(x);
            }
            // Layer norm divides by √(v + ε′) with the biased variance v, which is (n − 1)/n of the unbiased variance
            // u. So √(u + ε) = √(v + ε·(n − 1)/n) / √((n − 1)/n).
            let share = (pixels - 1) as f64 / pixels as f64;
            let (scale, shift) = (t.fill([pixels], share.sqrt() as f32)?, t.fill([pixels], 0.0)?);
            t.layer_norm(x, scale, shift, (EPS * share) as f32)
        })
    }
}

impl Method for Mae {
    fn record(&self, _: &Turn, r: &mut Recorder<'_>) -> Result<Loss> {
        let recipe = r.recipe.clone();
        let x = r.view(0, &recipe)?;
        let grid = self.grid(r, x)?;
        let (n, tokens) = (grid.batch, grid.patches() + 1);
        let visible = r.input(INPUTS[0], Type::u32([n * (1 + grid.visible)]))?;
        let hidden = r.input(INPUTS[1], Type::u32([n * grid.hidden()]))?;
        // The position embedding is named here before the backbone names it, so that it is fixed and begins as sines
        // and cosines.
        let (name, init) = (r.named("backbone.pos_embed"), Init::SineCosine { columns: grid.sides[1] });
        r.params.statistic(r.t, &name, [1, tokens, r.backbone.features()], init)?;
        let z = r.tokens(x, Some(visible))?;
        let told = self.decoded(r, z, [visible, hidden], grid)?;
        let target = self.target(r, x, hidden, grid)?;
        let loss = r.t.layer("loss", |t| {
            let weights = t.fill([n * grid.hidden()], 1.0)?;
            Ok(t.mse(told, target, weights)?[0])
        })?;
        r.mean_over_images(loss)
    }

    /// (seed, epoch, image) draws an order of each image's patches. The first ones are visible.
    fn inputs(
        &self,
        at: Progress,
        indices: &[u32],
        backbone: &dyn Backbone,
        size: [usize; 2],
    ) -> Vec<(&'static str, Vec<u8>)> {
        // `takes_backbone` refused images that cannot be cut into patches, and `record` refuses them, too.
        let Ok([rows, columns]) = self.sides(backbone, size) else { return Vec::new() };
        let patches = rows * columns;
        let seen = self.visible(patches);
        let (mut visible, mut hidden) = (Vec::new(), Vec::new());
        for (image, &index) in indices.iter().enumerate() {
            let order = Rng::new(at.seed, STREAM, (at.epoch as u64) << 32 | u64::from(index)).permutation(patches);
            let first = image * (patches + 1);
            visible.push(first as u32); // the class token
            visible.extend(order[..seen].iter().map(|&patch| (first + 1 + patch) as u32));
            hidden.extend(order[seen..].iter().map(|&patch| (image * patches + patch) as u32));
        }
        let bytes = |v: &[u32]| bytemuck::cast_slice(v).to_vec();
        vec![(INPUTS[0], bytes(&visible)), (INPUTS[1], bytes(&hidden))]
    }

    fn takes_backbone(&self, backbone: &dyn Backbone, size: [usize; 2]) -> Result<(), Mistake> {
        self.sides(backbone, size).map(drop)
    }

    fn size_key(&self, parameter: &str, _: Type) -> Option<(&'static str, String)> {
        let own = |part| (part, "decoder_embed_dim", self.decoder_embed_dim.to_string());
        head_key(parameter, [own("decoder_"), own("mask_token")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Vit;

    /// Each patch of an image is either visible or hidden, in the given share. Each image has its own mask in each
    /// epoch.
    #[test]
    fn a_mask_divides_the_patches() {
        let (mask_ratio, norm_pix_loss) = (0.75, true);
        let mae = Mae { mask_ratio, norm_pix_loss, decoder_embed_dim: 8, decoder_depth: 1, decoder_num_heads: 2 };
        let backbone = Vit::tiny(4, 3);
        let at = Progress { seed: 3, epoch: 1, epochs: 2, step: 0, steps: 1, repeat: 0, before: 0 };
        let rows = |at, indices: &[u32]| -> [Vec<u32>; 2] {
            let all = mae.inputs(at, indices, &backbone, [16, 16]);
            [0, 1].map(|i| bytemuck::pod_collect_to_vec(&all[i].1))
        };
        let [visible, hidden] = rows(at, &[7, 5, 7]);
        assert_eq!((visible.len(), hidden.len()), (3 * 5, 3 * 12));
        let of = |image: usize| {
            let (v, h) = (&visible[image * 5..][..5], &hidden[image * 12..][..12]);
            assert_eq!(v[0] as usize, image * 17, "the class token comes first");
            let seen: Vec<u32> = v[1..].iter().map(|&row| row - image as u32 * 17 - 1).collect();
            let unseen: Vec<u32> = h.iter().map(|&row| row - image as u32 * 16).collect();
            let mut all = [&seen[..], &unseen].concat();
            all.sort_unstable();
            assert_eq!(all, (0..16).collect::<Vec<u32>>());
            seen
        };
        assert_eq!(of(0), of(2), "an image has one mask in an epoch");
        assert_ne!(of(0), of(1));
        assert_ne!(rows(Progress { epoch: 2, ..at }, &[7])[0][1..], visible[1..5]);
    }
}
