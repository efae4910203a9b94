//! found_inf: flag' = 1 if an element of x is infinite or NaN, else flag. It has no gradient. Shaders:
//! shaders/training/found_inf/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::{Case, Fill, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (x, flag u32 [1]) -> flag', in place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FoundInf;

params! {
    struct Params { vectors: u32, elements: u32 }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("training/found_inf/forward.wgsl")];

impl Tape {
    /// A u32 [1] flag that is 1 if any element of any of `x` is infinite or NaN, else 0: what [`Tape::set_guard`] takes.
    pub fn found_inf(&mut self, x: &[Var]) -> Result<Var> {
        let flag = self.fill_u32([1], 0)?;
        x.iter().try_fold(flag, |flag, &x| self.apply1(FoundInf, &[x, flag]))
    }
}

impl Op for FoundInf {
    fn name(&self) -> &'static str {
        "found_inf"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_dtype("found_inf", "x", DType::F32)?;
        if x[1] != Type::u32([1]) {
            return Err(Error::shape("found_inf", format!("flag is {} and must be U32 [1]", x[1])));
        }
        Ok(vec![x[1]])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(1, 0)]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let elements = e.x[0].shape.numel();
        let (vectors, grid) = vec4_grid(elements);
        let params = Params { vectors, elements: elements as u32 };
        let kernel = Kernel::new("found_inf.forward", "portable", FORWARD);
        e.launch(kernel, &[Slot::In(0), Slot::Out(0)], &params, grid);
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, _x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None, None])
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, fill: Fill, flag: u32| {
        Case::new(name, FoundInf, vec![(Type::f32([n]), fill), (Type::u32([1]), Fill::Words(vec![flag]))])
    };
    // `bad` is the last of n elements, and the last of them only.
    let last = |n: usize, bad: f32| {
        let mut v = vec![1.0; n];
        v[n - 1] = bad;
        Fill::Values(v)
    };
    vec![
        case("all finite", 1025, Fill::Normal, 0),
        case("largest finite", 7, Fill::Values(vec![f32::MAX, f32::MIN, 0.0, -0.0, f32::MIN_POSITIVE]), 0),
        case("flag stays up", 5, Fill::Normal, 1),
        case("one infinity", 1, Fill::Values(vec![f32::INFINITY]), 0),
        case("minus infinity at the end", 1026, last(1026, f32::NEG_INFINITY), 0),
        case("NaN at the end", 4099, last(4099, f32::NAN), 0),
    ]
}
