//! color_jitter: with a probability, brightness, contrast, saturation and hue in random order; then, with another
//! probability, gray in all three channels. Values are clamped to [0, 1] after each stage.
//!
//! As torchvision's ColorJitter and RandomGrayscale: a factor f is uniform in [max(0, 1 − s), 1 + s] for a strength s;
//! brightness is f·x, contrast f·x + (1 − f)·mean(gray(x)) with the mean over the image at that point of the order,
//! saturation f·x + (1 − f)·gray(x), and hue is turned by a part of the circle uniform in [−h, h]. Saturation, hue
//! and gray leave images of one channel alone. There is no gradient towards images. Shaders: shaders/images/color_jitter/.

use crate::base::{Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::draw::{Draws, with_told};
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Inputs: x f32 [B, C, H, W] in [0, 1], or [2 · B, C, H, W] of two views, indices u32 [B], the scalars. Output: as x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ColorJitter {
    /// Where the draws come from.
    pub draws: Draws,
    /// Probability of the four stages.
    pub probability: f32,
    /// Strength of brightness.
    pub brightness: f32,
    /// Strength of contrast.
    pub contrast: f32,
    /// Strength of saturation.
    pub saturation: f32,
    /// Strength of hue, at most 0.5.
    pub hue: f32,
    /// Probability of gray.
    pub grayscale: f32,
    /// Whether a second output tells what was drawn for each sample: f32 [B, columns of [`TOLD`]].
    pub told: bool,
}

/// What a told op tells of a sample, and in how many columns: whether the four stages were applied, their order (0 brightness,
/// 1 contrast, 2 saturation, 3 hue), their factors by these numbers (the hue's as a part of the circle), and whether it became
/// gray. Order and factors are drawn where the stages are not applied, too. Images of one channel have no saturation and hue.
pub const TOLD: [(&str, usize); 4] = [("jitter", 1), ("jitter_order", 4), ("jitter_factors", 4), ("grayscale", 1)];

params! {
    struct Params {
        seed_low: u32, seed_high: u32, stream: u32, epoch: u32, batch: u32, images: u32, plane: u32, chunks: u32,
        probability: f32, brightness: f32, contrast: f32, saturation: f32, hue: f32, grayscale: f32,
    }
}

const STAGES: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/rng.wgsl"),
    piece!("common/draw.wgsl"),
    piece!("images/color_jitter/stages.wgsl"),
];
const FORWARD: &[Piece] = &[piece!("images/color_jitter/result.wgsl"), piece!("images/color_jitter/forward.wgsl")];
const SUMS: &[Piece] = &[piece!("images/color_jitter/sums.wgsl")];
const APPLY: &[Piece] = &[piece!("images/color_jitter/result.wgsl"), piece!("images/color_jitter/apply.wgsl")];

/// Pixels that a workgroup owns of an image that has more.
const CHUNK: usize = 4096;

/// How many chunks an image is.
fn chunks(x: Type) -> usize {
    (x.shape.dim(2) * x.shape.dim(3)).div_ceil(CHUNK).max(1)
}

impl Tape {
    /// Colours of x changed at random; `scalars` holds the epoch.
    pub fn color_jitter(&mut self, op: ColorJitter, x: Var, indices: Var, scalars: Var) -> Result<Var> {
        self.apply1(op, &[x, indices, scalars])
    }
}

impl Op for ColorJitter {
    fn name(&self) -> &'static str {
        "color_jitter"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        self.draws.check_views("color_jitter", x)?;
        let strengths = [self.brightness, self.contrast, self.saturation, self.hue];
        if strengths.iter().any(|s| s.is_nan() || *s < 0.0) || self.hue > 0.5 {
            let what = format!("strengths {strengths:?} must not be negative, and hue at most 0.5");
            return Err(Error::shape("color_jitter", what));
        }
        Ok(with_told(x[0], self.told.then_some(&TOLD[..])))
    }

    /// A sum of each chunk, where an image is several.
    fn workspace(&self, x: &[Type], _y: &[Type], _variant: &'static str, _caps: &Caps) -> Vec<Type> {
        match chunks(x[0]) {
            1 => Vec::new(),
            n => vec![Type::f32([x[0].shape.dim(0), n])],
        }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (chunks, images) = (chunks(e.x[0]), [0, 1, 2].map(Slot::In));
        let [batch, channels, height, width] = e.x[0].shape.nchw("color_jitter", "x")?;
        let [seed_low, seed_high, stream, epoch] = self.draws.fields();
        let params = Params {
            seed_low,
            seed_high,
            stream,
            epoch,
            batch: batch as u32,
            images: e.x[1].shape.dim(0) as u32,
            plane: (height * width) as u32,
            chunks: chunks as u32,
            probability: self.probability,
            brightness: self.brightness,
            contrast: self.contrast,
            saturation: self.saturation,
            hue: self.hue,
            grayscale: self.grayscale,
        };
        let kernel = |name, own| Kernel::new(name, "portable", STAGES).followed_by(own).with("C", channels as u32);
        let results = [Slot::Out(0)].into_iter().chain(self.told.then_some(Slot::Out(1)));
        let given: Vec<Slot> = match chunks {
            1 => images.to_vec(),
            _ => images.into_iter().chain([Slot::Work(0)]).collect(),
        };
        if chunks > 1 {
            e.launch(kernel("color_jitter.sums", SUMS), &given, &params, groups_1d(batch * chunks));
        }
        let last =
            if chunks > 1 { kernel("color_jitter.apply", APPLY) } else { kernel("color_jitter.forward", FORWARD) };
        let last = last.with("TOLD", u32::from(self.told)).with("Y", given.len() as u32 + 1);
        let buffers: Vec<Slot> = given.into_iter().chain(results).collect();
        e.launch(last, &buffers, &params, groups_1d(batch * chunks));
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        // About 20 operations a value, and a second reading for the mean.
        Cost { flops: 20 * y[0].shape.numel() as u64, bytes: 3 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case =
        |name, strengths: [f32; 4], [probability, grayscale]: [f32; 2], shape: [usize; 4], (view, views, told)| {
            let draws = Draws { seed: 0xfeed_beef_0007, stream: 8, view, epoch: 1 };
            let [brightness, contrast, saturation, hue] = strengths;
            let op = ColorJitter { draws, probability, brightness, contrast, saturation, hue, grayscale, told };
            let x = (Type::f32(shape), Fill::Uniform(0.0, 1.0));
            let indices = (Type::u32([shape[0] / views]), Fill::Below(1000));
            Case::new(name, op, vec![x, indices, (Type::f32([SCALARS]), Fill::Values(vec![5.0]))])
        };
    let all = [0.8, 0.8, 0.8, 0.2];
    vec![
        case("one pixel", all, [1.0, 0.0], [1, 3, 1, 1], (0, 1, true)),
        case("all four, always", all, [1.0, 0.0], [11, 3, 7, 13], (0, 1, false)),
        case("some of them, some gray", all, [0.8, 0.2], [23, 3, 8, 8], (1, 1, true)),
        case("hue alone", [0.0, 0.0, 0.0, 0.5], [1.0, 0.0], [3, 3, 5, 13], (0, 1, false)),
        case("two chunks, some gray", all, [0.8, 0.3], [3, 3, 70, 71], (4, 1, true)),
        case("always gray", [0.4, 0.0, 0.4, 0.0], [0.5, 1.0], [5, 3, 6, 11], (0, 1, false)),
        case("two views", all, [0.8, 0.2], [14, 3, 6, 5], (3, 2, true)),
        case("one channel", all, [0.8, 0.5], [7, 1, 9, 11], (2, 1, true)),
    ]
}
