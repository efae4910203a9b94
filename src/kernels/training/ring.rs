//! ring: row scalars[slot] of a ring [slots, k] becomes k numbers of this step, in place: metrics stay on the device
//! and are read back once in many steps. A u32 number keeps its bits, so that a guard's flag can stand beside a loss. It
//! has no gradient. Shaders: shaders/training/ring/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill};
use crate::tape::record::{SCALARS, Scalar};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (ring [slots, k], scalars, k values f32 [1] or u32 [1] each) -> ring', in place; k is at most [`COLUMNS`].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Ring {
    /// Rows of the ring.
    pub slots: u32,
    /// Slot of the scalar that names the row to write.
    pub slot: u32,
}

/// The most values of a ring: a kernel binds 8 buffers, and the ring and the scalars are two of them.
pub const COLUMNS: usize = 6;

params! {
    struct Params { slots: u32, slot: u32 }
}

const FORWARD: &[Piece] = &[piece!("training/ring/forward.wgsl")];

impl Tape {
    /// Writes `values`, each an f32 [1] or the bits of a u32 [1], into row `row` (a scalar, counted from 0) of the state
    /// `name` [slots, k], whatever the guard says. A second ring of one name would write over that row and is an error.
    pub fn ring(&mut self, name: &str, slots: usize, row: Scalar, values: &[Var]) -> Result<()> {
        self.expect_unassigned(name, "ring")?;
        let mut x = vec![self.state(name, Type::f32([slots, values.len()]))?, row.var];
        x.extend_from_slice(values);
        let y = self.apply1(Ring { slots: slots as u32, slot: row.slot }, &x)?;
        self.assign(name, y)
    }
}

impl Op for Ring {
    fn name(&self) -> &'static str {
        "ring"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("ring", "ring", DType::F32)?;
        let [slots, k] = x[0].shape.matrix("ring", "ring")?;
        let values = &x[2..];
        if slots != self.slots as usize || slots == 0 || k != values.len() || k == 0 || k > COLUMNS {
            let (rows, n) = (self.slots, values.len());
            let what = format!("ring is {} and must be [{rows}, {n}] for {n} values, 1 to {COLUMNS}", x[0].shape);
            return Err(Error::shape("ring", what));
        }
        if let Some(v) = values.iter().find(|v| ![Type::f32([1]), Type::u32([1])].contains(v)) {
            return Err(Error::shape("ring", format!("a value is {v} and must be F32 [1] or U32 [1]")));
        }
        Ok(vec![x[0]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    // It must be written whatever the guard says: the ring is the witness of a bad step.
    fn defies_guard(&self) -> bool {
        true
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let columns = e.x.len() - 2;
        let kernel = Kernel::new("ring.forward", "portable", FORWARD)
            .with("COLUMNS", columns as u32)
            .with("END", 3 + columns as u32);
        let mut buffers = vec![Slot::Out(0), Slot::In(1)];
        buffers.extend((0..columns).map(|i| Slot::In(2 + i)));
        e.launch(kernel, &buffers, &Params { slots: self.slots, slot: self.slot }, [1, 1, 1]);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: 8 * (x.len() as u64 - 2) }
    }
}

/// Named cases; scalar 1 names the row.
pub fn cases() -> Vec<Case> {
    let case = |name, slots: usize, k: usize, row: f32| {
        let mut x = vec![(Type::f32([slots, k]), Fill::Normal)];
        x.push((Type::f32([SCALARS]), Fill::Values(vec![9.0, row])));
        x.extend(vec![(Type::f32([1]), Fill::Normal); k]);
        Case::new(name, Ring { slots: slots as u32, slot: 1 }, x)
    };
    let mut flag = case("a flag", 3, 2, 1.0);
    flag.inputs[3] = (Type::u32([1]), Fill::Words(vec![1])); // denormal, were it a float
    vec![case("one", 1, 1, 0.0), case("first row", 5, 3, 0.0), case("last row", 7, COLUMNS, 6.0), flag]
}
