//! found_inf: flag' = 1 if an element of any x is infinite or NaN, else flag. It has no gradient. Shaders:
//! shaders/training/found_inf/.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece};
use crate::kernels::many::{Tensor, launch_all};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// (flag u32 [1], f32 tensors …) -> flag', in place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FoundInf;

params! {
    struct Params { tensors: [[u32; 4]; 0] }
}

const FORWARD: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("common/tensors.wgsl"), piece!("training/found_inf/forward.wgsl")];

impl Tape {
    /// A u32 [1] flag that is 1 if any element of any of `x` is infinite or NaN, else 0: what [`Tape::set_guard`] takes.
    pub fn found_inf(&mut self, x: &[Var]) -> Result<Var> {
        let flag = self.fill_u32([1], 0)?;
        match x {
            [] => Ok(flag),
            _ => self.apply1(FoundInf, &[&[flag], x].concat()),
        }
    }
}

impl Op for FoundInf {
    fn name(&self) -> &'static str {
        "found_inf"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let Some((flag, tensors)) = x.split_first().filter(|(_, tensors)| !tensors.is_empty()) else {
            return Err(Error::shape("found_inf", "it needs a flag and a tensor"));
        };
        tensors.iter().try_for_each(|x| x.expect_dtype("found_inf", "x", DType::F32))?;
        if *flag != Type::u32([1]) {
            return Err(Error::shape("found_inf", format!("flag is {flag} and must be U32 [1]")));
        }
        Ok(vec![*flag])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn together(&self, inputs: usize) -> Vec<Vec<usize>> {
        vec![(1..inputs).collect()]
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let tensor = |(i, x): (usize, &Type)| {
            let (elements, slots) = (x.shape.numel(), vec![Slot::In(i + 1)]);
            Tensor { groups: elements.div_ceil(1024), size: elements as u32, words: [0; 2], slots, index: 0 }
        };
        let tensors: Vec<Tensor> = e.x[1..].iter().enumerate().map(tensor).collect();
        let kernel = Kernel::new("found_inf.forward", "portable", FORWARD);
        launch_all(e, &kernel, (&tensors, &[Slot::Out(0)]), &Params { tensors: [] });
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, x: &[Type], _y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x[1..].iter().map(Type::bytes).sum() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, n: usize, fill: Fill, flag: u32| {
        Case::new(name, FoundInf, vec![(Type::u32([1]), Fill::Words(vec![flag])), (Type::f32([n]), fill)])
    };
    // `bad` is the last of n elements, and the last of them only.
    let last = |n: usize, bad: f32| {
        let mut v = vec![1.0; n];
        v[n - 1] = bad;
        Fill::Values(v)
    };
    let several = |name, fills: [Fill; 3]| {
        let tensors = [1031, 6, 4099].into_iter().zip(fills).map(|(n, fill)| (Type::f32([n]), fill));
        let flag = (Type::u32([1]), Fill::Words(vec![0]));
        Case::new(name, FoundInf, std::iter::once(flag).chain(tensors).collect())
    };
    vec![
        several("several, all finite", [Fill::Normal, Fill::Normal, Fill::Normal]),
        several("several, infinity in the second", [Fill::Normal, last(6, f32::INFINITY), Fill::Normal]),
        several("several, NaN at the end", [Fill::Normal, Fill::Normal, last(4099, f32::NAN)]),
        case("all finite", 1025, Fill::Normal, 0),
        case("largest finite", 7, Fill::Values(vec![f32::MAX, f32::MIN, 0.0, -0.0, f32::MIN_POSITIVE]), 0),
        case("flag stays up", 5, Fill::Normal, 1),
        case("one infinity", 1, Fill::Values(vec![f32::INFINITY]), 0),
        case("minus infinity at the end", 1026, last(1026, f32::NEG_INFINITY), 0),
        case("NaN at the end", 4099, last(4099, f32::NAN), 0),
    ]
}
