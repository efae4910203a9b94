//! add: y = a + b, element by element, of equal shapes.
//! da = dy, db = dy. Shaders: shaders/add/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// y = a + b.
#[derive(Clone, Debug, PartialEq)]
pub struct Add;

params! {
    struct Params { vectors: u32 }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("add/forward.wgsl")];

impl Tape {
    /// a + b, both f32 of one shape.
    pub fn add(&mut self, a: Var, b: Var) -> Result<Var> {
        self.apply1(Add, &[a, b])
    }
}

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("add", "a", DType::F32)?;
        x[1].expect_dtype("add", "b", DType::F32)?;
        if x[0].shape != x[1].shape {
            return Err(Error::shapes("add", ("a", x[0].shape), ("b", x[1].shape), "they must be equal"));
        }
        Ok(vec![x[0]])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (vectors, grid) = vec4_grid(e.y[0].shape.numel());
        let buffers = [Slot::In(0), Slot::In(1), Slot::Out(0)];
        e.launch(Kernel::new("add.forward", "portable", FORWARD), &buffers, &Params { vectors }, grid);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, _x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0], dy[0]])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: y[0].shape.numel() as u64, bytes: 3 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize]| {
        let ty = Type::f32(crate::base::Shape::new(shape));
        Case::new(name, Add, vec![(ty, Fill::Normal), (ty, Fill::Normal)])
    };
    vec![
        case("one", &[1]),
        case("prime", &[7, 13, 11]),
        case("a whole workgroup", &[1024]),
        case("a workgroup and one", &[1025]),
    ]
}
