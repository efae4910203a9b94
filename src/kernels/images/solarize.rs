//! solarize: with a probability, y = 1 − x where x ≥ threshold, else x; as torchvision's RandomSolarize on values in
//! [0, 1]. There is no gradient towards images. Shaders: shaders/images/solarize/.

use crate::base::Result;
use crate::device::{Kernel, Piece};
use crate::kernels::draw::{Draws, with_told};
use crate::kernels::tiles::Spans;
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Inputs: x f32 [B, C, H, W] in [0, 1], or [2 · B, C, H, W] of two views, indices u32 [B], the scalars. Output: as x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Solarize {
    /// Where the draws come from.
    pub draws: Draws,
    /// Probability of a change, of the first view and of the second.
    pub probability: [f32; 2],
    /// The least value that is turned round: ½ in BYOL.
    pub threshold: f32,
    /// Whether a second output tells what was drawn for each sample: f32 [B, columns of [`TOLD`]].
    pub told: bool,
}

/// What a told op tells of a sample, and in how many columns: whether it was solarized.
pub const TOLD: [(&str, usize); 1] = [("solarize", 1)];

params! {
    struct Params {
        seed_low: u32, seed_high: u32, stream: u32, epoch: u32, samples: u32, images: u32, units: u32, chunks: u32,
        probability: f32, second_probability: f32, threshold: f32,
    }
}

/// For samples of whole vec4, and for the rest.
const WIDTHS: [&[Piece]; 2] = [
    &[
        piece!("common/index.wgsl"),
        piece!("common/vec4.wgsl"),
        piece!("common/rng.wgsl"),
        piece!("common/draw.wgsl"),
        piece!("common/span.wgsl"),
        piece!("images/solarize/forward.wgsl"),
    ],
    &[
        piece!("common/index.wgsl"),
        piece!("common/scalar.wgsl"),
        piece!("common/rng.wgsl"),
        piece!("common/draw.wgsl"),
        piece!("common/span.wgsl"),
        piece!("images/solarize/forward.wgsl"),
    ],
];

impl Tape {
    /// x solarized at random; `scalars` holds the epoch.
    pub fn solarize(&mut self, op: Solarize, x: Var, indices: Var, scalars: Var) -> Result<Var> {
        self.apply1(op, &[x, indices, scalars])
    }
}

impl Op for Solarize {
    fn name(&self) -> &'static str {
        "solarize"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        self.draws.check_views("solarize", x)?;
        Ok(with_told(x[0], self.told.then_some(&TOLD[..])))
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let [seed_low, seed_high, stream, epoch] = self.draws.fields();
        let spans = Spans::new(e.y[0].shape);
        let params = Params {
            seed_low,
            seed_high,
            stream,
            epoch,
            samples: spans.samples,
            images: e.x[1].shape.dim(0) as u32,
            units: spans.units,
            chunks: spans.chunks,
            probability: self.probability[0],
            second_probability: self.probability[1],
            threshold: self.threshold,
        };
        let kernel = Kernel::new("solarize.forward", "portable", WIDTHS[usize::from(!spans.wide)])
            .with("TOLD", u32::from(self.told));
        let mut buffers = vec![Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0)];
        buffers.extend(self.told.then_some(Slot::Out(1)));
        e.launch(kernel, &buffers, &params, spans.grid);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let two = |name, (probability, threshold), (views, shape): (usize, [usize; 4]), fill, told| {
        let draws = Draws { seed: 0x501a, stream: 12, view: 1, epoch: 2 };
        let indices = (Type::u32([shape[0] / views]), Fill::Below(1000));
        let scalars = (Type::f32([SCALARS]), Fill::Values(vec![5.0]));
        Case::new(
            name,
            Solarize { draws, probability, threshold, told },
            vec![(Type::f32(shape), fill), indices, scalars],
        )
    };
    let case = |name, [one, threshold]: [f32; 2], shape, fill, told| {
        two(name, ([one, 0.5], threshold), (1, shape), fill, told)
    };
    let values = || Fill::Uniform(0.0, 1.0);
    vec![
        case("one pixel", [1.0, 0.5], [1, 1, 1, 1], values(), true),
        case("always, at the threshold", [1.0, 0.5], [3, 1, 5, 7], Fill::Values(vec![0.5, 0.0, 1.0, 0.25]), false),
        case("whole vec4, some", [0.5, 0.5], [11, 3, 8, 6], values(), false),
        case("more than a workgroup a sample, some", [0.5, 0.7], [5, 3, 37, 41], values(), true),
        two("two views", ([0.2, 0.9], 0.5), (2, [14, 3, 5, 6]), values(), true),
        case("never", [0.0, 0.5], [2, 3, 5, 5], values(), false),
    ]
}
