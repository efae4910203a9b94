//! concat: y = [a; b; …], joined along the first dimension.
//! The gradient of each input is its slice of dy. Shaders: shaders/concat/.

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// Tensors joined along the first dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Concat;

params! {
    struct Params { elements: u32, start: u32 }
}

const FORWARD: &[Piece] = &[piece!("common/index.wgsl"), piece!("concat/forward.wgsl")];

impl Tape {
    /// f32 tensors [N₁, …], [N₂, …] whose other dimensions are equal give [N₁ + N₂ + …, …].
    pub fn concat(&mut self, parts: &[Var]) -> Result<Var> {
        self.apply1(Concat, parts)
    }
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let Some(first) = x.first().filter(|t| t.shape.rank() > 0) else {
            return Err(Error::shape("concat", "needs at least one tensor of at least one dimension"));
        };
        let mut rows = 0;
        for t in x {
            t.expect_dtype("concat", "every part", DType::F32)?;
            if t.shape.rank() == 0 || t.shape.dims()[1..] != first.shape.dims()[1..] {
                let need = "all but the first dimension must be equal";
                return Err(Error::shapes("concat", ("one part", first.shape), ("another", t.shape), need));
            }
            rows += t.shape.dim(0);
        }
        let mut dims: Vec<usize> = first.shape.dims().iter().map(|&d| d as usize).collect();
        dims[0] = rows;
        Ok(vec![Type::f32(Shape::new(&dims))])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let mut start = 0;
        for (i, t) in e.x.iter().enumerate() {
            let elements = t.shape.numel();
            let params = Params { elements: elements as u32, start };
            let kernel = Kernel::new("concat.forward", "portable", FORWARD);
            e.launch(kernel, &[Slot::In(i), Slot::Out(0)], &params, groups_1d(elements.div_ceil(256)));
            start += elements as u32;
        }
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let Some(dy) = dy[0] else { return Ok(vec![None; x.len()]) };
        let mut row = 0;
        let mut grads = Vec::new();
        for &part in x {
            let rows = t.shape(part).dim(0);
            grads.push(if t.wants(part) { Some(t.slice(dy, row, rows)?) } else { None });
            row += rows;
        }
        Ok(grads)
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, parts: &[&[usize]]| {
        let inputs = parts.iter().map(|p| (Type::f32(Shape::new(p)), Fill::Normal)).collect();
        Case::new(name, Concat, inputs)
    };
    vec![case("two", &[&[3, 5], &[4, 5]]), case("three, odd", &[&[1, 7, 3], &[13, 7, 3], &[5, 7, 3]])]
}
