//! random: a tensor of numbers uniform in [low, high), or normal by Box–Muller: √(−2 ln(1 − u)) · cos 2πv. Element i is the
//! i-th that base::rng draws for (seed, stream, counter): uniform numbers in [0, 1) to the bit, normal ones to rounding.
//! It has no gradient. Shaders: shaders/elementwise/random/.

use crate::base::{Error, Result, Shape};
use crate::device::{Kernel, Piece};
use crate::kernels::draw::{Keep, Stream};
use crate::kernels::{Case, Fill, vec4_grid};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// How the numbers are distributed.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub enum Distribution {
    /// From low up to, not including, high.
    Uniform {
        /// The least.
        low: f32,
        /// Above the greatest.
        high: f32,
    },
    /// Gaussian.
    Normal {
        /// Its mean.
        mean: f32,
        /// Its standard deviation.
        std: f32,
    },
}

/// scalars -> f32 of `shape`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Random {
    /// Of the tensor.
    pub shape: Shape,
    /// Of its elements.
    pub distribution: Distribution,
    /// Where their words come from.
    pub stream: Stream,
}

params! {
    struct Params { seed_low: u32, seed_high: u32, stream: u32, counter: u32, vectors: u32, a: f32, b: f32 }
}

const UNIFORM: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/rng.wgsl"),
    piece!("elementwise/random/params.wgsl"),
    piece!("common/stream.wgsl"),
    piece!("elementwise/random/uniform.wgsl"),
    piece!("elementwise/random/forward.wgsl"),
];
const NORMAL: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/rng.wgsl"),
    piece!("common/turn.wgsl"),
    piece!("elementwise/random/params.wgsl"),
    piece!("common/stream.wgsl"),
    piece!("elementwise/random/normal.wgsl"),
    piece!("elementwise/random/forward.wgsl"),
];

impl Tape {
    /// An f32 tensor of random numbers; `scalars` is the [`crate::tape::record::Scalar::var`] that belongs to the
    /// stream's counter.
    pub fn random(&mut self, op: Random, scalars: Var) -> Result<Var> {
        self.apply1(op, &[scalars])
    }
}

impl Op for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        self.stream.check("random", x[0], &Keep::Fraction(1.0))?;
        let good = match self.distribution {
            Distribution::Uniform { low, high } => low <= high && (high - low).is_finite(),
            Distribution::Normal { mean, std } => mean.is_finite() && std.is_finite() && std >= 0.0,
        };
        if !good {
            let what = format!("{:?} must have finite bounds, low first, or a spread of at least 0", self.distribution);
            return Err(Error::shape("random", what));
        }
        Ok(vec![Type::f32(self.shape)])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let (pieces, name, a, b) = match self.distribution {
            Distribution::Uniform { low, high } => (UNIFORM, "random.uniform", low, high),
            Distribution::Normal { mean, std } => (NORMAL, "random.normal", mean, std),
        };
        let [seed_low, seed_high] = self.stream.key();
        let Stream { stream, counter, .. } = self.stream;
        let params = Params { seed_low, seed_high, stream, counter, vectors, a, b };
        e.launch(Kernel::new(name, "portable", pieces), &[Slot::In(0), Slot::Out(0)], &params, grid);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, _x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        // About 25 operations of Philox and 20 of Box–Muller; integers count as well.
        Cost { flops: 45 * y[0].shape.numel() as u64, bytes: y[0].bytes() }
    }
}

/// Named cases; the counter is in slot 2.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, distribution| {
        let stream = Stream { seed: 0x0123_4567_89ab_cdef, stream: 77, counter: 2 };
        let scalars = (Type::f32([SCALARS]), Fill::Values(vec![9.0, 8.0, 4242.0, 1.0]));
        Case::new(name, Random { shape: Shape::new(&[n]), distribution, stream }, vec![scalars])
    };
    let uniform = |low, high| Distribution::Uniform { low, high };
    let normal = |mean, std| Distribution::Normal { mean, std };
    vec![
        case("uniform, one", 1, uniform(0.0, 1.0)),
        case("uniform, a workgroup and one", 1025, uniform(0.0, 1.0)),
        case("uniform between", 1009, uniform(-3.0, 5.0)),
        case("normal, one", 1, normal(0.0, 1.0)),
        case("normal, many", 8191, normal(0.0, 1.0)),
        case("normal elsewhere", 1031, normal(2.0, 0.1)),
    ]
}
