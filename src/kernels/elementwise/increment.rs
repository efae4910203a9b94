//! increment: x' = x + 1, an f32 [1] in place: a count of steps. A raised guard leaves it alone.
//! Shaders: shaders/elementwise/increment/.

use crate::base::{Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill, guarded};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (x [1], guard?) -> x', in place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Increment;

params! {
    struct Params { by: f32 }
}

const FREE: &[Piece] = &[piece!("common/unguarded.wgsl"), piece!("elementwise/increment/step.wgsl")];
const GUARDED: &[Piece] = &[piece!("common/guarded.wgsl"), piece!("elementwise/increment/step.wgsl")];

impl Tape {
    /// Adds 1 to the f32 [1] state `name` and gives its new value. Set the step's guard before.
    pub fn increment(&mut self, name: &str) -> Result<Var> {
        let mut x = vec![self.state(name, Type::f32([1]))?];
        x.extend(self.guard());
        let y = self.apply1(Increment, &x)?;
        self.assign(name, y)?;
        Ok(y)
    }
}

impl Op for Increment {
    fn name(&self) -> &'static str {
        "increment"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        if x[0] != Type::f32([1]) {
            return Err(Error::shape("increment", format!("x is {} and must be F32 [1]", x[0])));
        }
        Ok(vec![x[0]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn unguarded(&self) -> Option<usize> {
        Some(1)
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let kernel = Kernel::new("increment.step", "portable", FREE);
        let (kernel, buffers) = guarded(self, e.x.len(), kernel, GUARDED, vec![Slot::Out(0)]);
        e.launch(kernel, &buffers, &Params { by: 1.0 }, [1, 1, 1]);
        Ok(())
    }

    fn cost(&self, _x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 1, bytes: 8 }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, guard: Option<u32>| {
        let mut x = vec![(Type::f32([1]), Fill::Values(vec![41.0]))];
        x.extend(guard.map(|g| (Type::u32([1]), Fill::Words(vec![g]))));
        Case::new(name, Increment, x)
    };
    vec![case("plain", None), case("guard down", Some(0)), case("guard up", Some(1))]
}
