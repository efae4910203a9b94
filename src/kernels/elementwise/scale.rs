//! scale: y = factor·x, element by element.
//! dx = factor·dy. Shaders: shaders/elementwise/scale/.

use crate::base::{DType, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// y = factor·x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Scale {
    /// The number every element is multiplied by.
    pub factor: f32,
}

params! {
    struct Params { vectors: u32, factor: f32 }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("elementwise/scale/forward.wgsl")];

impl Tape {
    /// factor·x of an f32 tensor of any shape.
    pub fn scale(&mut self, x: Var, factor: f32) -> Result<Var> {
        self.apply1(Scale { factor }, &[x])
    }
}

impl Op for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("scale", "x", DType::F32)?;
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let params = Params { vectors, factor: self.factor };
        e.launch(Kernel::new("scale.forward", "portable", FORWARD), &[Slot::In(0), Slot::Out(0)], &params, grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, _x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.scale(dy, self.factor)).transpose()?])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], factor| {
        let ty = Type::f32(crate::base::Shape::new(shape));
        Case::new(name, Scale { factor }, vec![(ty, Fill::Normal)])
    };
    vec![
        case("one", &[1], -2.0),
        case("prime", &[7, 13, 11], 0.37),
        case("zero", &[5], 0.0),
        case("a workgroup and one", &[1025], 3.0),
        case("many workgroups", &[70_001], 0.5),
    ]
}
