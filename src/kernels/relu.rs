//! relu: y = max(x, 0).
//! dx = dy where y > 0, else 0 (PyTorch's choice at 0). Shaders: shaders/relu/.

use crate::base::{DType, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// y = max(x, 0).
#[derive(Clone, Debug, PartialEq)]
pub struct Relu;

/// dx from (y, dy).
#[derive(Clone, Debug, PartialEq)]
struct ReluGrad;

params! {
    struct Params { vectors: u32 }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("relu/forward.wgsl")];
const GRAD: &[Piece] = &[piece!("common/index.wgsl"), piece!("relu/grad.wgsl")];

impl Tape {
    /// max(x, 0) of an f32 tensor of any shape.
    pub fn relu(&mut self, x: Var) -> Result<Var> {
        self.apply1(Relu, &[x])
    }
}

impl Op for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("relu", "x", DType::F32)?;
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let buffers = [Slot::In(0), Slot::Out(0)];
        e.launch(Kernel::new("relu.forward", "portable", FORWARD), &buffers, &Params { vectors }, grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, _x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.apply1(ReluGrad, &[y[0], dy])).transpose()?])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

impl Op for ReluGrad {
    fn name(&self) -> &'static str {
        "relu.grad"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![x[1]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        e.launch(Kernel::new("relu.grad", "portable", GRAD), &buffers, &Params { vectors }, grid);
        Ok(())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: 3 * y[0].bytes() }
    }
}

/// Named cases; values stay away from the kink.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize]| {
        Case::new(name, Relu, vec![(Type::f32(crate::base::Shape::new(shape)), Fill::AwayFromZero)])
    };
    vec![case("one", &[1]), case("prime", &[7, 13, 11]), case("a workgroup and one", &[1025])]
}
