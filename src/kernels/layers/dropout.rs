//! dropout (Srivastava et al. 2014, JMLR 15), inverted: y = x / keep where the element's word is below keep, else 0 · x.
//! dx = dropout(dy) with the same words: the mask is a function of (seed, stream, counter) and is drawn again, never
//! stored. Shaders: shaders/layers/dropout/.

use crate::base::{DType, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::draw::{Keep, Stream};
use crate::kernels::{Case, Fill, vec4_grid};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (x, scalars) -> y as x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Dropout {
    /// The probability that an element stays: PyTorch's p is 1 − keep.
    pub keep: Keep,
    /// Where the words come from: element i is kept by the i-th of them.
    pub stream: Stream,
}

params! {
    struct Params {
        seed_low: u32, seed_high: u32, stream: u32, counter: u32, vectors: u32, keep: f32, slot: u32, scheduled: u32,
    }
}

const FORWARD: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/rng.wgsl"),
    piece!("common/stream.wgsl"),
    piece!("common/keep.wgsl"),
    piece!("layers/dropout/forward.wgsl"),
];

impl Tape {
    /// x, f32 of any shape, with elements dropped at random; `scalars` is the [`crate::tape::record::Scalar::var`] that
    /// belongs to the stream's counter. For evaluation leave the op out.
    pub fn dropout(&mut self, op: Dropout, x: Var, scalars: Var) -> Result<Var> {
        self.apply1(op, &[x, scalars])
    }
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("dropout", "x", DType::F32)?;
        self.stream.check("dropout", x[1], &self.keep)?;
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let ([seed_low, seed_high], (slot, keep)) = (self.stream.key(), self.keep.parts());
        let Stream { stream, counter, .. } = self.stream;
        let (slot, scheduled) = (slot.unwrap_or(0), u32::from(slot.is_some()));
        let params = Params { seed_low, seed_high, stream, counter, vectors, keep, slot, scheduled };
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        e.launch(Kernel::new("dropout.forward", "portable", FORWARD), &buffers, &params, grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.dropout(self.clone(), dy, x[1])).transpose()?, None])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        // About 25 operations of Philox; integers count as well.
        Cost { flops: 27 * y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases; the counter is in slot 2 and a scheduled rate in slot 1.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], keep| {
        let stream = Stream { seed: 0xd0_d0d0_d0d0, stream: 5, counter: 2 };
        let scalars = (Type::f32([SCALARS]), Fill::Values(vec![9.0, 0.75, 12.0, 1.0]));
        let x = (Type::f32(crate::base::Shape::new(shape)), Fill::Normal);
        Case::new(name, Dropout { keep, stream }, vec![x, scalars])
    };
    vec![
        case("one", &[1], Keep::Fraction(0.5)),
        case("prime", &[7, 13, 11], Keep::Fraction(0.9)),
        case("a workgroup and one", &[1025], Keep::Fraction(0.5)),
        case("everything", &[37], Keep::Fraction(1.0)),
        case("nothing", &[37], Keep::Fraction(0.0)),
        case("scheduled", &[5, 101], Keep::Slot(1)),
    ]
}
