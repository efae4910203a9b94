//! fill: every element of y is one constant. It has no input and no gradient. Shaders: shaders/elementwise/fill/.

use crate::base::{DType, Result, Shape};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// A tensor of one value.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FillWith {
    /// Shape and element type.
    pub ty: Type,
    /// The bits of every element.
    pub word: u32,
}

params! {
    struct Params { vectors: u32, word: u32 }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("elementwise/fill/forward.wgsl")];

impl Tape {
    /// An f32 tensor of one value.
    pub fn fill(&mut self, shape: impl Into<Shape>, value: f32) -> Result<Var> {
        self.apply1(FillWith { ty: Type::f32(shape), word: value.to_bits() }, &[])
    }

    /// A u32 tensor of one value.
    pub fn fill_u32(&mut self, shape: impl Into<Shape>, value: u32) -> Result<Var> {
        self.apply1(FillWith { ty: Type { shape: shape.into(), dtype: DType::U32 }, word: value }, &[])
    }
}

impl Op for FillWith {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn infer(&self, _x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![self.ty])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let params = Params { vectors, word: self.word };
        e.launch(Kernel::new("fill.forward", "portable", FORWARD), &[Slot::Out(0)], &params, grid);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, _x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(Vec::new())
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, v: f32| Case::new(name, FillWith { ty: Type::f32([n]), word: v.to_bits() }, vec![]);
    vec![case("one", 1, 3.5), case("a workgroup and one", 1025, -0.25)]
}
