//! gaussian_blur: with a probability, y = x blurred by a Gaussian whose sigma is drawn for each sample, else y = x.
//!
//! As torchvision's GaussianBlur: 2·radius + 1 taps a direction, weights exp(−d² / 2σ²) normalised, σ uniform in a
//! range, edges mirrored without repeating the edge. There is no gradient towards images.
//! Shaders: shaders/images/gaussian_blur/.

use crate::base::{Error, Result};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::draw::{Draws, with_told};
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Inputs: x f32 [B, C, H, W], or [2 · B, C, H, W] of two views, indices u32 [B], the scalars. Output: as x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct GaussianBlur {
    /// Where the draws come from.
    pub draws: Draws,
    /// Probability of a blur, of the first view and of the second.
    pub probability: [f32; 2],
    /// Least and greatest sigma, in pixels.
    pub sigma: [f32; 2],
    /// Taps on each side, at least 1 and less than H and W.
    pub radius: u32,
    /// Whether a second output tells what was drawn for each sample: f32 [B, columns of [`TOLD`]].
    pub told: bool,
}

/// What a told op tells of a sample, and in how many columns: whether it was blurred, and sigma, which is drawn in any case.
pub const TOLD: [(&str, usize); 2] = [("blur", 1), ("blur_sigma", 1)];

params! {
    struct Params {
        seed_low: u32, seed_high: u32, stream: u32, epoch: u32,
        columns: u32, columns_per_sample: u32, images: u32, height: u32, width: u32,
        probability: f32, second_probability: f32, sigma_low: f32, sigma_high: f32,
    }
}

const FORWARD: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/rng.wgsl"),
    piece!("common/draw.wgsl"),
    piece!("images/gaussian_blur/forward.wgsl"),
];

impl Tape {
    /// x blurred at random; `scalars` holds the epoch.
    pub fn gaussian_blur(&mut self, op: GaussianBlur, x: Var, indices: Var, scalars: Var) -> Result<Var> {
        self.apply1(op, &[x, indices, scalars])
    }
}

impl Op for GaussianBlur {
    fn name(&self) -> &'static str {
        "gaussian_blur"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let [_, _, height, width] = self.draws.check_views("gaussian_blur", x)?;
        let ([low, high], radius) = (self.sigma, self.radius as usize);
        if !(0.0 < low && low <= high && high.is_finite()) || radius == 0 || radius >= height.min(width) {
            let what = format!(
                "sigma {:?} must be positive, low first, and radius {radius} at least 1 and less than the sides of {}",
                self.sigma, x[0].shape
            );
            return Err(Error::shape("gaussian_blur", what));
        }
        Ok(with_told(x[0], self.told.then_some(&TOLD[..])))
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [batch, channels, height, width] = e.x[0].shape.nchw("gaussian_blur", "x")?;
        let [seed_low, seed_high, stream, epoch] = self.draws.fields();
        let params = Params {
            seed_low,
            seed_high,
            stream,
            epoch,
            columns: (batch * channels * width) as u32,
            columns_per_sample: (channels * width) as u32,
            images: e.x[1].shape.dim(0) as u32,
            height: height as u32,
            width: width as u32,
            probability: self.probability[0],
            second_probability: self.probability[1],
            sigma_low: self.sigma[0],
            sigma_high: self.sigma[1],
        };
        let kernel = Kernel::new("gaussian_blur.forward", "portable", FORWARD)
            .with("RADIUS", self.radius)
            .with("END", self.radius + 1)
            .with("WIDTH", 2 * self.radius + 1)
            .with("TOLD", u32::from(self.told));
        let mut buffers = vec![Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0)];
        buffers.extend(self.told.then_some(Slot::Out(1)));
        e.launch(kernel, &buffers, &params, groups_1d(params.columns.div_ceil(64) as usize));
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        let taps = 2 * self.radius as u64 + 1;
        Cost { flops: 4 * taps * y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let two = |name, probability, sigma, (radius, told), (views, shape): (usize, [usize; 4])| {
        let draws = Draws { seed: 0xb10b, stream: 9, view: 1, epoch: 0 };
        let op = GaussianBlur { draws, probability, sigma, radius, told };
        let x = (Type::f32(shape), Fill::Uniform(0.0, 1.0));
        let indices = (Type::u32([shape[0] / views]), Fill::Below(1000));
        Case::new(name, op, vec![x, indices, (Type::f32([SCALARS]), Fill::Values(vec![11.0]))])
    };
    let case = |name, probability, sigma, form, shape| two(name, [probability, 0.5], sigma, form, (1, shape));
    vec![
        case("the smallest", 1.0, [1.0, 1.0], (1, true), [1, 1, 2, 2]),
        case("three taps", 0.5, [0.1, 2.0], (1, false), [9, 3, 8, 8]),
        case("mirrored far beyond", 1.0, [0.5, 3.0], (4, false), [3, 1, 5, 7]),
        case("past one workgroup", 0.5, [0.1, 2.0], (3, true), [4, 3, 19, 23]),
        two("two views", [1.0, 0.3], [0.1, 2.0], (2, true), (2, [14, 3, 5, 6])),
        case("never", 0.0, [0.1, 2.0], (2, true), [2, 3, 5, 5]),
    ]
}
