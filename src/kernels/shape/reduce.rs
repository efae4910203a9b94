//! reduce over any axes, n terms x_j an output: sum y = Σ x_j; mean y = Σ x_j / n;
//! var y = Σ (x_j − mean)² / (n − correction), in two passes, the second of which mends the mean of the first;
//! max y = max x_j and argmax, the first of equals, in order of the reduced axes; a NaN is larger than all else.
//! dx_j = dy, dy / n, 2 dy (x_j − mean) / (n − correction), and dy at the argmax and 0 elsewhere.
//! Of f16 x, what is found is f32 and dx is f16.
//! Shaders: shaders/shape/reduce/; how axes are walked: reduce/walk.rs.

mod walk;

use self::walk::{Lanes, Spans, Walk, slices};
use crate::base::{DType, Error, Result, Shape};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::lanes::{SUBGROUPS, and_subgroups};
use crate::kernels::{Case, Fill, held};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// What becomes of the terms of an output.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// Their variance: the divisor is their number less `correction`, PyTorch's 0 or 1. Output 1 is their mean.
    Var {
        /// What is taken off the number of terms.
        correction: u32,
    },
    /// The largest of them. Output 1, u32, says which one: its place among the reduced axes in row-major order.
    Max,
    /// Which of them is the largest, as u32; without a gradient.
    Argmax,
}

/// A reduction of an f32 or f16 tensor over `axes`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Reduce {
    /// Which one.
    pub kind: Reduction,
    /// The axes that go, in any order.
    pub axes: Vec<u32>,
    /// Leaves them in the shape with size 1.
    pub keepdim: bool,
}

/// dx from (dy), (dy, x, mean) or (dy, argmax), in the type of x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct ReduceGrad {
    reduce: Reduce,
    x: Type,
}

params! {
    struct Grad {
        d1: u32, d2: u32, d3: u32, o0: u32, o1: u32, o2: u32, o3: u32, t0: u32, t1: u32, t2: u32, t3: u32,
        elements: u32, outputs: u32, scale: f32,
    }
}

/// What a walk begins with, and its ends: the variants `rows` and `groups`.
const WALK: &[Piece] = &[piece!("common/index.wgsl"), piece!("shape/reduce/walk.wgsl")];
const ROWS: &[Piece] = &[piece!("shape/reduce/rows.wgsl")];
const GROUPS: &[Piece] = &[piece!("shape/reduce/groups.wgsl")];
/// The end of the variant `subgroups`, and how sums and maxima go together there.
const WHOLE: &[Piece] = &[piece!("common/lane_subgroups.wgsl"), piece!("shape/reduce/whole.wgsl")];
const WITHIN_SUM: &[Piece] = &[piece!("shape/reduce/within_sum.wgsl")];
const WITHIN_MOST: &[Piece] = &[piece!("shape/reduce/within_most.wgsl")];

/// Of each reduction what a walk at once does with a term, a walk in slices, and the walk over the results of the slices.
type Stages = [&'static [Piece]; 3];

const SUM: &[Piece] = &[piece!("shape/reduce/sum.wgsl"), piece!("shape/reduce/term_value.wgsl")];
const MOST: &[Piece] =
    &[piece!("common/order.wgsl"), piece!("shape/reduce/most.wgsl"), piece!("shape/reduce/term_key.wgsl")];
const BEST: &[Piece] =
    &[piece!("common/order.wgsl"), piece!("shape/reduce/most.wgsl"), piece!("shape/reduce/term_best.wgsl")];
const SUMS: Stages = [SUM, SUM, SUM];
const VARS: Stages = [
    &[
        piece!("shape/reduce/spread.wgsl"),
        piece!("shape/reduce/term_square.wgsl"),
        piece!("shape/reduce/store_var.wgsl"),
    ],
    &[
        piece!("shape/reduce/spread.wgsl"),
        piece!("shape/reduce/term_square.wgsl"),
        piece!("shape/reduce/store_pair.wgsl"),
    ],
    &[piece!("shape/reduce/spread.wgsl"), piece!("shape/reduce/term_pair.wgsl"), piece!("shape/reduce/store_var.wgsl")],
];
const MAXIMA: Stages = [MOST, MOST, BEST];

/// What a gradient begins with, its slopes, and its walk.
const STRIDED: &[Piece] = &[piece!("common/index.wgsl"), piece!("common/strided.wgsl")];
const SLOPE_ONE: &[Piece] = &[piece!("shape/reduce/slope_one.wgsl")];
const SLOPE_DISTANCE: &[Piece] = &[piece!("shape/reduce/slope_distance.wgsl")];
const SLOPE_CHOSEN: &[Piece] = &[piece!("shape/reduce/slope_chosen.wgsl")];
const GRAD: &[Piece] = &[piece!("shape/reduce/grad.wgsl")];

impl Tape {
    /// x, f32 or f16, of up to four axes (or more where neighbours go together), reduced over `axes`: their sizes leave the
    /// shape, or become 1 with `keepdim`; what would be a scalar is \[1\]. u32 for [`Reduction::Argmax`], else f32.
    /// A second output ([`Reduction::Max`] has the argmax) is there through [`Tape::apply`].
    pub fn reduce(&mut self, x: Var, kind: Reduction, axes: &[usize], keepdim: bool) -> Result<Var> {
        let axes = axes.iter().map(|&a| a as u32).collect();
        Ok(self.apply(Reduce { kind, axes, keepdim }, &[x])?[0])
    }
}

impl Reduce {
    /// One walk over x into `y`, in two stages where there are slices: their results lie in workspaces 0 and 1. A kernel
    /// binds what it walks, what it writes, the second results of the slices, and `rough`.
    fn pass(&self, e: &mut Emit<'_>, spans: &Spans, stages: &Stages, y: &[Slot], rough: &[Slot], scale: f32) {
        let slices = slices(spans, e.variant, e.caps);
        let (x, scales) = (Slot::In(0), [scale, 1.0 / spans.terms() as f32]);
        if slices == 1 {
            return self.stage(e, spans, stages[0], &[&[x][..], y, rough].concat(), 1, scales);
        }
        let works = &[Slot::Work(0), Slot::Work(1)][..y.len()];
        self.stage(e, spans, stages[1], &[&[x][..], works, rough].concat(), slices, [1.0; 2]);
        let partials = Spans::of_partials(spans.outputs(), slices);
        self.stage(e, &partials, stages[2], &[&works[..1], y, &works[1..], rough].concat(), 1, scales);
    }

    /// One walk over the first of `buffers`: x, or f32 results of slices.
    fn stage(&self, e: &mut Emit<'_>, spans: &Spans, terms: &[Piece], buffers: &[Slot], slices: u32, scales: [f32; 2]) {
        let outputs = spans.outputs() as usize;
        let dtype = if buffers[0] == Slot::In(0) { e.x[0].dtype } else { DType::F32 };
        let kernel = held::floats(Kernel::new("reduce.forward", e.variant, WALK), dtype).followed_by(terms);
        if e.variant == "rows" {
            let kernel = kernel.followed_by(ROWS);
            let grid = groups_1d((outputs * slices as usize).div_ceil(8));
            return e.launch(kernel, buffers, &Walk::new(spans, slices, 1, scales), grid);
        }
        let lanes = if e.variant == SUBGROUPS { Lanes::WHOLE } else { Lanes::new(spans) };
        let kernel = match (e.variant, self.kind) {
            (SUBGROUPS, Reduction::Max | Reduction::Argmax) => kernel.followed_by(WITHIN_MOST).followed_by(WHOLE),
            (SUBGROUPS, _) => kernel.followed_by(WITHIN_SUM).followed_by(WHOLE),
            _ => kernel
                .followed_by(GROUPS)
                .with("TERMS", lanes.terms)
                .with("TERMSTRIDE", lanes.term_stride)
                .with("OUTSTRIDE", lanes.out_stride),
        };
        let grid = groups_1d(outputs.div_ceil(lanes.width() as usize) * slices as usize);
        e.launch(kernel, buffers, &Walk::new(spans, slices, lanes.terms, scales), grid);
    }

    /// What the sum of the terms, or of their squares, is divided by.
    fn divisor(&self, spans: &Spans) -> f32 {
        match self.kind {
            Reduction::Mean => spans.terms() as f32,
            Reduction::Var { correction } => (spans.terms() - correction) as f32,
            _ => 1.0,
        }
    }
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("reduce", "x")?;
        let shape = x[0].shape;
        let terms = Spans::new(shape, &self.axes)?.terms();
        let mut dims = Vec::new();
        for (i, &d) in shape.dims().iter().enumerate() {
            match (self.axes.contains(&(i as u32)), self.keepdim) {
                (false, _) => dims.push(d as usize),
                (true, true) => dims.push(1),
                (true, false) => {}
            }
        }
        if dims.is_empty() {
            dims.push(1);
        }
        let (f32, u32) = (Type::f32(Shape::new(&dims)), Type::u32(Shape::new(&dims)));
        Ok(match self.kind {
            Reduction::Sum | Reduction::Mean => vec![f32],
            Reduction::Var { correction } if correction >= terms => {
                let what = format!("a variance of {terms} terms of {shape} with correction {correction} divides by 0");
                return Err(Error::shape("reduce", what));
            }
            Reduction::Var { .. } => vec![f32, f32],
            Reduction::Max => vec![f32, u32],
            Reduction::Argmax => vec![u32],
        })
    }

    /// `rows`: an invocation an output. `groups`: a workgroup's lanes share the terms of an output. Both walk in slices
    /// where outputs are few. `subgroups`, where a workgroup has the terms of one output: as `groups`, but put together within
    /// subgroups. Where it has several outputs, a tree is left: WGSL does not say which of the lanes a subgroup holds.
    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        let variants = if caps.software { vec!["rows", "groups"] } else { vec!["groups", "rows"] };
        let whole =
            Spans::new(x[0].shape, &self.axes).is_ok_and(|spans| Lanes::new(&spans).terms == Lanes::WHOLE.terms);
        if whole { and_subgroups(variants, caps) } else { variants }
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, caps: &Caps) -> Vec<Type> {
        let Ok(spans) = Spans::new(x[0].shape, &self.axes) else { return Vec::new() };
        let (slices, outputs) = (slices(&spans, variant, caps) as usize, spans.outputs() as usize);
        let partial = [slices * outputs];
        let second = match self.kind {
            Reduction::Sum | Reduction::Mean => None,
            Reduction::Var { .. } => Some(Type::f32(partial)),
            Reduction::Max | Reduction::Argmax => Some(Type::u32(partial)),
        };
        let mut work = Vec::new();
        if slices > 1 {
            work.push(Type::f32(partial));
            work.extend(second);
        }
        // The rough mean of a variance, and the values that argmax does not give out.
        if matches!(self.kind, Reduction::Var { .. } | Reduction::Argmax) {
            work.push(Type::f32([outputs]));
        }
        work
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let spans = Spans::new(e.x[0].shape, &self.axes)?;
        let (y, scale) = ([Slot::Out(0), Slot::Out(1)], 1.0 / self.divisor(&spans));
        let last = Slot::Work(self.workspace(e.x, e.y, e.variant, e.caps).len().saturating_sub(1));
        match self.kind {
            Reduction::Sum | Reduction::Mean => self.pass(e, &spans, &SUMS, &y[..1], &[], scale),
            Reduction::Var { .. } => {
                self.pass(e, &spans, &SUMS, &[last], &[], 1.0 / spans.terms() as f32);
                self.pass(e, &spans, &VARS, &y, &[last], scale);
            }
            Reduction::Max => self.pass(e, &spans, &MAXIMA, &y, &[], 1.0),
            Reduction::Argmax => self.pass(e, &spans, &MAXIMA, &[last, Slot::Out(0)], &[], 1.0),
        }
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let mean = matches!(self.kind, Reduction::Var { .. }) && dy[1].is_some();
        if mean {
            let what = "the mean beside a variance has no gradient; detach it, or reduce to the mean itself";
            return Err(Error::no_gradient("reduce", what));
        }
        let Some(dy) = dy[0] else { return Ok(vec![None]) };
        let inputs = match self.kind {
            Reduction::Sum | Reduction::Mean => vec![dy],
            Reduction::Var { .. } => vec![dy, x[0], y[1]],
            Reduction::Max => vec![dy, y[1]],
            Reduction::Argmax => return Ok(vec![None]),
        };
        let grad = ReduceGrad { reduce: self.clone(), x: t.ty(x[0]) };
        Ok(vec![Some(t.apply1(grad, &inputs)?)])
    }

    /// A variance reads x twice.
    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let (passes, flops) = if matches!(self.kind, Reduction::Var { .. }) { (2, 4) } else { (1, 1) };
        let bytes = passes * x[0].bytes() + y.iter().map(Type::bytes).sum::<u64>();
        Cost { flops: flops * x[0].shape.numel() as u64, bytes }
    }
}

impl Op for ReduceGrad {
    fn name(&self) -> &'static str {
        "reduce.grad"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, _x: &[Type]) -> Result<Vec<Type>> {
        Ok(vec![self.x])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let spans = Spans::new(self.x.shape, &self.reduce.axes)?;
        let [[o0, o1, o2, o3], [t0, t1, t2, t3]] = spans.places();
        let [_, (d1, _), (d2, _), (d3, _)] = spans.joined;
        let elements = self.x.shape.numel();
        let (slope, factor) = match self.reduce.kind {
            Reduction::Var { .. } => (SLOPE_DISTANCE, 2.0),
            Reduction::Max | Reduction::Argmax => (SLOPE_CHOSEN, 1.0),
            Reduction::Sum | Reduction::Mean => (SLOPE_ONE, 1.0),
        };
        let params = Grad {
            d1,
            d2,
            d3,
            o0,
            o1,
            o2,
            o3,
            t0,
            t1,
            t2,
            t3,
            elements: elements as u32,
            outputs: spans.outputs(),
            scale: factor / self.reduce.divisor(&spans),
        };
        let mut buffers = vec![Slot::In(0), Slot::Out(0)];
        buffers.extend((1..e.x.len()).map(Slot::In));
        let kernel = Kernel::new("reduce.grad", "portable", STRIDED).followed_by(held::quads(self.x.dtype));
        let kernel = held::floats(kernel, self.x.dtype).followed_by(slope).followed_by(GRAD);
        e.launch(kernel, &buffers, &params, groups_1d(elements.div_ceil(256)));
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        let bytes = x.iter().chain(y).map(Type::bytes).sum();
        Cost { flops: 2 * y[0].shape.numel() as u64, bytes }
    }
}

/// Named cases. Values of a maximum are distinct but for the cases about ties.
pub fn cases() -> Vec<Case> {
    let case = |name, kind, shape: &[usize], axes: &[u32], keepdim, fill| {
        Case::new(name, Reduce { kind, axes: axes.to_vec(), keepdim }, vec![(Type::f32(Shape::new(shape)), fill)])
    };
    let (sum, mean, max, argmax) = (Reduction::Sum, Reduction::Mean, Reduction::Max, Reduction::Argmax);
    let var = |correction| Reduction::Var { correction };
    let ties = || Fill::Values(vec![1.0, 0.0, -0.0, 2.0, 2.0, -3.0, 2.0]);
    vec![
        case("one", sum, &[1], &[0], false, Fill::Normal),
        case("sum of rows, prime", sum, &[7, 13], &[1], false, Fill::Normal),
        case("sum of columns, prime", sum, &[13, 7], &[0], true, Fill::Normal),
        case("sum of long rows", sum, &[5, 1031], &[1], false, Fill::Normal),
        case("sum of everything, in slices", sum, &[3, 5, 4099], &[0, 1, 2], false, Fill::Normal),
        case("sum of long columns, in slices", sum, &[4099, 11], &[0], false, Fill::Normal),
        case("sum of nothing but an axis of 1", sum, &[5, 1, 3], &[1], false, Fill::Normal),
        case("mean of images", mean, &[3, 5, 4, 7], &[2, 3], false, Fill::Normal),
        case("mean of all but channels", mean, &[3, 5, 4, 7], &[0, 2, 3], false, Fill::Normal),
        case("mean of alternate axes", mean, &[3, 5, 4, 7], &[3, 1], true, Fill::Normal),
        case("mean of the other alternate axes", mean, &[3, 5, 4, 7], &[0, 2], false, Fill::Normal),
        case("var, biased", var(0), &[6, 37], &[1], false, Fill::Normal),
        case("var, far from zero", var(1), &[5, 3, 64], &[0, 2], true, Fill::Uniform(1000.0, 1002.0)),
        case("var, in slices", var(1), &[3, 9001], &[1], false, Fill::Uniform(50.0, 53.0)),
        case("max of rows", max, &[7, 131], &[1], false, Fill::Distinct),
        case("max of columns", max, &[67, 5], &[0], true, Fill::Distinct),
        case("max of alternate axes", max, &[3, 5, 4, 7], &[1, 3], false, Fill::Distinct),
        case("max, in slices", max, &[2, 9001], &[1], false, Fill::Distinct),
        case("max, ties", max, &[5, 21], &[1], false, ties()),
        case("max, ties in slices", max, &[9001, 2], &[0], false, ties()),
        case("argmax of rows", argmax, &[9, 10], &[1], false, Fill::Normal),
        case("argmax of everything, in slices", argmax, &[3, 5003], &[0, 1], false, Fill::Normal),
        case("f16, sum of rows, prime", sum, &[7, 13], &[1], false, Fill::Normal).halved(&[0]),
        case("f16, sum of long columns, in slices", sum, &[4099, 11], &[0], false, Fill::Normal).halved(&[0]),
        case("f16, mean of tokens", mean, &[3, 5, 12], &[1], false, Fill::Normal).halved(&[0]),
        case("f16, mean of alternate axes", mean, &[3, 5, 4, 7], &[3, 1], true, Fill::Normal).halved(&[0]),
        case("f16, var", var(1), &[5, 3, 63], &[0, 2], true, Fill::Uniform(50.0, 53.0)).halved(&[0]),
        case("f16, var, in slices", var(1), &[3, 9001], &[1], false, Fill::Normal).halved(&[0]),
        case("f16, max of columns", max, &[67, 5], &[0], true, Fill::Distinct).halved(&[0]),
        case("f16, argmax of rows", argmax, &[9, 11], &[1], false, Fill::Normal).halved(&[0]),
    ]
}
