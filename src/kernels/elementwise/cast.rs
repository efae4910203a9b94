//! cast: y = x as another element type. f32 to u32 goes towards zero, to the nearest u32 where there is none, NaN to 0;
//! u32 to f32 to the nearest. f32 to f16 goes to the nearest, ties to even, from 65,520 on to infinity, below 2⁻²⁵ to 0,
//! NaN to NaN (IEEE 754, as PyTorch); f16 to f32 is exact. Both work on the words in which halves lie, and need no
//! feature of an adapter. pack_f16 and unpack_f16 do the same where the halves are to be seen as u32.
//! Between f16 and f32 dx is dy as the type of x. Whole numbers and words have no gradient. Shaders: shaders/elementwise/cast/.

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// A conversion.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub enum Cast {
    /// f32 to f16.
    F16,
    /// u32 or f16 to f32.
    F32,
    /// f32 to u32.
    U32,
    /// f32 of n elements to ⌈n/2⌉ words of two half floats, the first in the low half; an odd end is filled with 0.
    PackF16,
    /// ⌈n/2⌉ such words to f32 of this shape of n elements.
    UnpackF16 {
        /// The shape of y.
        shape: Shape,
    },
}

params! {
    struct Params { units: u32, elements: u32 }
}

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
const TO_F32: &[Piece] = &[piece!("elementwise/cast/f32.wgsl")];
const TO_U32: &[Piece] = &[piece!("elementwise/cast/u32.wgsl")];
const PACK: &[Piece] = &[piece!("common/half.wgsl"), piece!("elementwise/cast/pack_f16.wgsl")];
const UNPACK: &[Piece] = &[piece!("common/half.wgsl"), piece!("elementwise/cast/unpack_f16.wgsl")];
const FORWARD: &[Piece] = &[piece!("elementwise/cast/forward.wgsl")];

impl Tape {
    /// x as `dtype`; x itself where it is that already. f16 and u32 go by way of f32. A gradient flows between f16 and f32.
    pub fn cast(&mut self, x: Var, dtype: DType) -> Result<Var> {
        let from = self.ty(x).dtype;
        let by_f32 = matches!((from, dtype), (DType::F16, DType::U32) | (DType::U32, DType::F16));
        let x = if by_f32 { self.apply1(Cast::F32, &[x])? } else { x };
        match dtype {
            dtype if dtype == from => Ok(x),
            DType::F16 => self.apply1(Cast::F16, &[x]),
            DType::F32 => self.apply1(Cast::F32, &[x]),
            DType::U32 => self.apply1(Cast::U32, &[x]),
        }
    }

    /// f32 x of n elements as half floats, two to each word of a u32 [⌈n/2⌉]. No gradient flows through it.
    pub fn pack_f16(&mut self, x: Var) -> Result<Var> {
        self.apply1(Cast::PackF16, &[x])
    }

    /// What [`Tape::pack_f16`] made, u32 [⌈n/2⌉], as f32 of `shape`, which has n elements.
    pub fn unpack_f16(&mut self, words: Var, shape: impl Into<Shape>) -> Result<Var> {
        self.apply1(Cast::UnpackF16 { shape: shape.into() }, &[words])
    }
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn takes_long_gradients(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        match self {
            Cast::F16 | Cast::U32 | Cast::PackF16 => x[0].expect_dtype("cast", "x", DType::F32)?,
            Cast::F32 if x[0].dtype == DType::F16 => {}
            Cast::F32 | Cast::UnpackF16 { .. } => x[0].expect_dtype("cast", "x", DType::U32)?,
        }
        Ok(vec![match *self {
            Cast::F16 => Type::f16(x[0].shape),
            Cast::F32 => Type::f32(x[0].shape),
            Cast::U32 => Type::u32(x[0].shape),
            Cast::PackF16 => Type::u32([x[0].shape.numel().div_ceil(2)]),
            Cast::UnpackF16 { shape } if shape.numel().div_ceil(2) != x[0].shape.numel() => {
                let need = "there must be a word for each two elements";
                return Err(Error::shapes("cast", ("the words are", x[0].shape), ("y", shape), need));
            }
            Cast::UnpackF16 { shape } => Type::f32(shape),
        }])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (x, y) = (e.x[0].shape.numel(), e.y[0].shape.numel());
        let (conversion, units, elements) = match self {
            Cast::F32 if e.x[0].dtype == DType::F16 => (UNPACK, x.div_ceil(2), x),
            Cast::F32 => (TO_F32, x.div_ceil(4), x),
            Cast::U32 => (TO_U32, x.div_ceil(4), x),
            Cast::F16 => (PACK, x.div_ceil(2), x),
            Cast::PackF16 => (PACK, y, x),
            Cast::UnpackF16 { .. } => (UNPACK, x, y),
        };
        let params = Params { units: units as u32, elements: elements as u32 };
        let kernel = Kernel::new("cast.forward", "portable", INDEX).followed_by(conversion).followed_by(FORWARD);
        e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &params, groups_1d(units.div_ceil(64)));
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let float = t.ty(x[0]).dtype.is_float() && matches!(self, Cast::F16 | Cast::F32);
        let (from, dy) = (t.ty(x[0]).dtype, dy[0].filter(|_| float));
        Ok(vec![dy.map(|dy| t.cast(dy, from)).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x[0].bytes() + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, op: Cast, x, fill| Case::new(name, op, vec![(x, fill)]);
    let unpack = |n: usize| Cast::UnpackF16 { shape: Shape::new(&[n]) };
    let edges = [0.0, 0.99, 1.0, -0.5, -7.0, 16_777_217.0, 4_294_967_040.0, 5e9, f32::NAN, f32::NEG_INFINITY];
    // Ties, the ends of the normal halves, below the smallest one, and what has none.
    let halves =
        [1.0, 1.000_488_3, 1.001_464_8, 65_504.0, 65_519.9, 65_520.0, -1e9, 6.1e-5, 6.0e-5, -3e-8, 2.9e-8, 1e-30];
    vec![
        case("floats to halves, one", Cast::F16, Type::f32([1]), Fill::Normal),
        case("floats to halves, odd", Cast::F16, Type::f32([7, 13]), Fill::Normal),
        case("floats to halves, edges", Cast::F16, Type::f32([12]), Fill::Values(halves.to_vec())),
        case(
            "floats to halves, no numbers",
            Cast::F16,
            Type::f32([3]),
            Fill::Values(vec![f32::NAN, f32::INFINITY, -1e38]),
        ),
        case("halves to floats, odd", Cast::F32, Type::f16([257]), Fill::Normal),
        case("halves to floats, every size", Cast::F32, Type::f16([4096]), Fill::Bytes),
        case("words to floats", Cast::F32, Type::u32([7, 13]), Fill::Bytes),
        case("small words to floats", Cast::F32, Type::u32([257]), Fill::Below(1 << 24)),
        case("floats to words", Cast::U32, Type::f32([67, 5]), Fill::Uniform(-100.0, 4e9)),
        case("floats to words, edges", Cast::U32, Type::f32([10]), Fill::Values(edges.to_vec())),
        case("pack one", Cast::PackF16, Type::f32([1]), Fill::Normal),
        case("pack, odd", Cast::PackF16, Type::f32([7, 13]), Fill::Normal),
        case("pack, edges", Cast::PackF16, Type::f32([12]), Fill::Values(halves.to_vec())),
        case("pack, no numbers", Cast::PackF16, Type::f32([2]), Fill::Values(vec![f32::NAN, f32::INFINITY])),
        case(
            "unpack, odd",
            unpack(257),
            Type::u32([129]),
            Fill::Words(vec![0x3c01_bc00, 0x0001_83ff, 0x7bff_0000, 0x0400_5555]),
        ),
    ]
}
