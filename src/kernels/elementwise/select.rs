//! select: y = a where the mask is not 0, else b (PyTorch's `where`).
//! da = dy where the mask is not 0, else 0; db = dy where it is 0, else 0. Shaders: shaders/elementwise/select/.

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// y = mask ? a : b.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Select;

/// The gradient of a (`first`) or of b, from (mask, dy).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct SelectGrad {
    first: bool,
}

params! {
    struct Params { vectors: u32, shift: u32 }
}

params! {
    struct GradParams { vectors: u32, shift: u32, first: u32 }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("elementwise/select/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("common/index.wgsl"), piece!("elementwise/select/grad.wgsl")];

impl Tape {
    /// a where mask is not 0, else b: mask f32 or u32, a and b both f32 or both u32, all of one shape. The mask has no
    /// gradient.
    pub fn select(&mut self, mask: Var, a: Var, b: Var) -> Result<Var> {
        self.apply1(Select, &[mask, a, b])
    }
}

/// How far to shift a mask's words so that exactly 0 (and −0) becomes 0.
fn shift(mask: Type) -> u32 {
    u32::from(mask.dtype == DType::F32)
}

impl Op for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[2].expect_dtype("select", "b", x[1].dtype)?;
        for (ty, name) in [(x[0], "mask"), (x[2], "b")] {
            if ty.shape != x[1].shape {
                let need = "they must be equal; repeat the smaller one with broadcast";
                return Err(Error::shapes("select", (name, ty.shape), ("a", x[1].shape), need));
            }
        }
        Ok(vec![x[1]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let buffers = [Slot::In(0), Slot::In(1), Slot::In(2), Slot::Out(0)];
        let params = Params { vectors, shift: shift(e.x[0]) };
        e.launch(Kernel::new("select.forward", "portable", FORWARD), &buffers, &params, grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let mut of = |operand: Var, first| {
            let wanted = dy[0].filter(|_| t.wants(operand));
            wanted.map(|dy| t.apply1(SelectGrad { first }, &[x[0], dy])).transpose()
        };
        Ok(vec![None, of(x[1], true)?, of(x[2], false)?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

impl Op for SelectGrad {
    fn name(&self) -> &'static str {
        "select.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[1]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let params = GradParams { vectors, shift: shift(e.x[0]), first: u32::from(self.first) };
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        e.launch(Kernel::new("select.grad", "portable", GRAD), &buffers, &params, grid);
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x.iter().chain(y).map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], integer_mask: bool| {
        let shape = Shape::new(shape);
        let mask = match integer_mask {
            true => (Type::u32(shape), Fill::Below(3)),
            // −0 is 0, and the least number is not.
            false => (Type::f32(shape), Fill::Values(vec![1.0, 0.0, -0.0, f32::from_bits(1), -2.5])),
        };
        Case::new(name, Select, vec![mask, (Type::f32(shape), Fill::Normal), (Type::f32(shape), Fill::Normal)])
    };
    let words = (Type::u32([65]), Fill::Bytes);
    vec![
        case("one", &[1], true),
        case("prime", &[7, 13, 11], true),
        case("an f32 mask", &[131], false),
        case("a whole workgroup", &[1024], false),
        case("a workgroup and one", &[1025], true),
        Case::new("words", Select, vec![(Type::u32([65]), Fill::Below(2)), words.clone(), words]),
    ]
}
