//! drop_path (stochastic depth, Huang et al. 2016, arXiv:1603.09382), as timm's: y[n] = x[n] / keep where the sample's word
//! is below keep, else 0 · x[n]. dx = drop_path(dy) with the same words, which are drawn again, never stored.
//! Shaders: shaders/layers/drop_path/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::draw::{Keep, Stream};
use crate::kernels::tiles::Spans;
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (x [N, ...], scalars) -> y as x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct DropPath {
    /// The probability that a sample's branch stays.
    pub keep: Keep,
    /// Where the words come from: sample n of the batch is kept by the n-th of them.
    pub stream: Stream,
}

params! {
    struct Params {
        seed_low: u32, seed_high: u32, stream: u32, counter: u32,
        samples: u32, units: u32, chunks: u32, keep: f32, slot: u32, scheduled: u32,
    }
}

/// For samples of whole vec4, and for the rest.
const WIDTHS: [&[Piece]; 2] = [
    &[
        piece!("common/index.wgsl"),
        piece!("common/vec4.wgsl"),
        piece!("common/rng.wgsl"),
        piece!("common/stream.wgsl"),
        piece!("common/keep.wgsl"),
        piece!("common/span.wgsl"),
        piece!("layers/drop_path/forward.wgsl"),
    ],
    &[
        piece!("common/index.wgsl"),
        piece!("common/scalar.wgsl"),
        piece!("common/rng.wgsl"),
        piece!("common/stream.wgsl"),
        piece!("common/keep.wgsl"),
        piece!("common/span.wgsl"),
        piece!("layers/drop_path/forward.wgsl"),
    ],
];

impl Tape {
    /// x f32 [N, ...] with whole samples dropped at random; `scalars` is the [`crate::tape::record::Scalar::var`] that
    /// belongs to the stream's counter. For evaluation leave the op out.
    pub fn drop_path(&mut self, op: DropPath, x: Var, scalars: Var) -> Result<Var> {
        self.apply1(op, &[x, scalars])
    }
}

impl Op for DropPath {
    fn name(&self) -> &'static str {
        "drop_path"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("drop_path", "x", DType::F32)?;
        if x[0].shape.rank() == 0 {
            return Err(Error::shape("drop_path", "x must have a dimension of samples"));
        }
        self.stream.check("drop_path", x[1], &self.keep)?;
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let spans = Spans::new(e.y[0].shape);
        let ([seed_low, seed_high], (slot, keep)) = (self.stream.key(), self.keep.parts());
        let params = Params {
            seed_low,
            seed_high,
            stream: self.stream.stream,
            counter: self.stream.counter,
            samples: spans.samples,
            units: spans.units,
            chunks: spans.chunks,
            keep,
            slot: slot.unwrap_or(0),
            scheduled: u32::from(slot.is_some()),
        };
        let kernel = Kernel::new("drop_path.forward", "portable", WIDTHS[usize::from(!spans.wide)]);
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        e.launch(kernel, &buffers, &params, spans.grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.drop_path(self.clone(), dy, x[1])).transpose()?, None])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases; the counter is in slot 2 and a scheduled rate in slot 1.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], keep| {
        let stream = Stream { seed: 0xbad_cafe, stream: 6, counter: 2 };
        let scalars = (Type::f32([SCALARS]), Fill::Values(vec![9.0, 0.75, 12.0, 1.0]));
        let x = (Type::f32(crate::base::Shape::new(shape)), Fill::Normal);
        Case::new(name, DropPath { keep, stream }, vec![x, scalars])
    };
    vec![
        case("one", &[1], Keep::Fraction(0.5)),
        case("prime", &[11, 13, 7], Keep::Fraction(0.5)),
        case("whole vec4", &[9, 4, 3, 3], Keep::Fraction(0.8)),
        case("more than a workgroup a sample", &[6, 1033], Keep::Fraction(0.5)),
        case("nothing", &[5, 8], Keep::Fraction(0.0)),
        case("scheduled", &[23, 12], Keep::Slot(1)),
    ]
}
