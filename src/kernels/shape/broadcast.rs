//! broadcast: y[i] = x[i with 0 along the dimensions where x has 1], leading dimensions added (PyTorch's `expand`).
//! dx[k] = Σ dy over every place that element k was copied to, in a fixed order, in f32 of f16, too. Shaders:
//! shaders/shape/broadcast/.

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::lanes::{self, SUBGROUPS, and_subgroups};
use crate::kernels::{Case, Fill, held, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// x repeated to a larger shape.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Broadcast {
    /// The shape of y.
    pub shape: Shape,
}

/// dx of the shape given, from dy.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct BroadcastGrad {
    shape: Shape,
}

params! {
    struct Params { vectors: u32, elements: u32, n1: u32, n2: u32, n3: u32, s0: u32, s1: u32, s2: u32, s3: u32 }
}

params! {
    struct GradParams {
        kept: u32, kept_inner: u32, kept_outer_stride: u32, kept_inner_stride: u32,
        length: u32, inner: u32, outer_stride: u32, inner_stride: u32,
        slice: u32, slices: u32,
    }
}

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
const EACH: &[Piece] = &[piece!("shape/broadcast/each.wgsl")];
const EACH_HALVES: &[Piece] = &[piece!("shape/broadcast/each_halves.wgsl")];
const RUN: &[Piece] = &[piece!("shape/broadcast/run.wgsl")];
const SAME: &[Piece] = &[piece!("shape/broadcast/same.wgsl")];
const FORWARD: &[Piece] = &[piece!("shape/broadcast/forward.wgsl")];
const LANES: &[Piece] = &[piece!("shape/broadcast/grad_params.wgsl"), piece!("shape/broadcast/grad_lanes.wgsl")];
const GROUPS: &[Piece] = &[piece!("shape/broadcast/grad_params.wgsl"), piece!("shape/broadcast/grad_groups.wgsl")];
const WHOLE: &[Piece] = &[piece!("shape/broadcast/grad_params.wgsl"), piece!("shape/broadcast/grad_whole.wgsl")];

/// The most dimensions after merging neighbours of one kind.
const MERGED: usize = 4;
/// A sum is cut into slices no shorter than this…
const LEAST_SLICE: usize = 1024;
/// …and only while there are fewer workgroups of sums than this.
const ENOUGH_GROUPS: usize = 256;

impl Tape {
    /// x repeated to `shape`: aligned at the last dimension, each dimension of x is 1 or that of `shape`, and missing
    /// leading ones count as 1. Any element type; of u32 there is no gradient, of f16 it is f32. At most four runs of neighbouring dimensions
    /// that are all repeated or all kept may alternate.
    pub fn broadcast(&mut self, x: Var, shape: impl Into<Shape>) -> Result<Var> {
        self.apply1(Broadcast { shape: shape.into() }, &[x])
    }
}

/// A run of neighbouring dimensions of y that x either has or is repeated along.
#[derive(Clone, Copy, Debug)]
struct Run {
    size: usize,
    /// Whether x has it.
    kept: bool,
    /// Stride in y.
    stride: usize,
}

/// The runs of dimensions larger than 1, outermost first, neighbours of one kind merged.
fn runs(x: Shape, y: Shape) -> Result<Vec<Run>> {
    let wrong = |need| Error::shapes("broadcast", ("x", x), ("the target", y), need);
    if x.rank() > y.rank() {
        return Err(wrong("the target must have at least as many dimensions as x"));
    }
    let missing = y.rank() - x.rank();
    let (mut runs, mut stride): (Vec<Run>, usize) = (Vec::new(), 1);
    for d in (0..y.rank()).rev() {
        let (size, of_x) = (y.dim(d), if d < missing { 1 } else { x.dim(d - missing) });
        if of_x != size && of_x != 1 {
            return Err(wrong("each dimension of x, from the last, must be 1 or that of the target"));
        }
        if size != 1 {
            match runs.last_mut().filter(|r| r.kept == (of_x == size)) {
                Some(run) => run.size *= size,
                None => runs.push(Run { size, kept: of_x == size, stride }),
            }
        }
        stride *= size;
    }
    runs.reverse();
    if runs.len() > MERGED {
        return Err(wrong("repeated and kept dimensions alternate too often; broadcast in two steps"));
    }
    Ok(runs)
}

impl Op for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        runs(x[0].shape, self.shape)?;
        Ok(vec![Type { shape: self.shape, ..x[0] }])
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let mut four = [Run { size: 1, kept: false, stride: 1 }; MERGED];
        let runs = runs(e.x[0].shape, self.shape)?;
        four[MERGED - runs.len()..].copy_from_slice(&runs);
        let (mut strides, mut stride) = ([0; MERGED], 1);
        for (s, run) in strides.iter_mut().zip(&four).rev().filter(|(_, run)| run.kept) {
            *s = stride;
            stride *= run.size as u32;
        }
        let [_, n1, n2, mut n3] = four.map(|run| run.size as u32);
        let [mut s0, mut s1, mut s2, s3] = strides;
        let mut elements = self.shape.numel();
        let (half, copied) = (e.x[0].dtype == DType::F16, four[MERGED - 1].kept);
        // Then every stride of x is even, too.
        let paired = half && copied && n3.is_multiple_of(2);
        if paired {
            [n3, s0, s1, s2] = [n3, s0, s1, s2].map(|v| v / 2);
            elements /= 2;
        }
        let (vectors, grid) = vec4_grid(elements);
        let params = Params { vectors, elements: elements as u32, n1, n2, n3, s0, s1, s2, s3 };
        let load = match (n3.is_multiple_of(4), copied) {
            _ if half && !paired => EACH_HALVES,
            (false, _) => EACH,
            (true, true) => RUN,
            (true, false) => SAME,
        };
        let kernel = Kernel::new("broadcast.forward", "portable", INDEX).followed_by(load);
        e.launch(kernel.followed_by(FORWARD), &[Slot::In(0), Slot::Out(0)], &params, grid);
        Ok(())
    }

    fn grad(&self, t: &mut Tape, x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        let op = BroadcastGrad { shape: t.shape(x[0]) };
        Ok(vec![dy[0].map(|dy| t.apply1(op, &[dy])).transpose()?])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: x[0].bytes() + y[0].bytes() }
    }
}

/// The sum of a gradient: its two stages, the second of which adds the slices of the first.
struct Sum {
    first: GradParams,
    /// Whether neighbouring terms of one sum are neighbours in memory.
    rows: bool,
}

/// Size and stride of the outer and inner of up to two runs; missing ones have size 1.
fn pair<'a>(runs: impl DoubleEndedIterator<Item = &'a Run>) -> [(u32, u32); 2] {
    let mut inner_first = runs.rev().map(|r| (r.size as u32, r.stride as u32));
    let inner = inner_first.next().unwrap_or((1, 0));
    [inner_first.next().unwrap_or((1, 0)), inner]
}

/// Sums of one launch that share a workgroup of 256 invocations.
fn columns(kept_inner: u32, length: u32, rows: bool) -> u32 {
    match rows {
        true => 256 / length.next_power_of_two().min(256),
        false => kept_inner.next_power_of_two().min(32),
    }
}

impl Sum {
    fn new(x: Shape, y: Shape, variant: &str) -> Result<Self> {
        let runs = runs(x, y)?;
        let [kept, repeated] = [true, false].map(|kind| pair(runs.iter().filter(|r| r.kept == kind)));
        let [sums, length] = [kept, repeated].map(|[outer, inner]| outer.0 * inner.0);
        let rows = runs.last().is_some_and(|r| !r.kept);
        let width = if variant == "lanes" { 8 } else { columns(kept[1].0, length, rows) };
        let groups = sums.div_ceil(width) as usize;
        let slices = (length as usize / LEAST_SLICE).min(ENOUGH_GROUPS / groups).max(1);
        let slice = length.div_ceil(slices as u32);
        let first = GradParams {
            kept: sums,
            kept_inner: kept[1].0,
            kept_outer_stride: kept[0].1,
            kept_inner_stride: kept[1].1,
            length,
            inner: repeated[1].0,
            outer_stride: repeated[0].1,
            inner_stride: repeated[1].1,
            slice,
            slices: length.div_ceil(slice),
        };
        Ok(Sum { first, rows })
    }

    /// A workgroup has the terms of one sum alone.
    fn is_whole(&self) -> bool {
        columns(self.first.kept_inner, self.first.length, self.rows) == 1
    }

    /// The sum over slices: part [slices, kept] -> dx [kept].
    fn second(&self) -> GradParams {
        let GradParams { kept, slices, .. } = self.first;
        GradParams {
            kept,
            kept_inner: kept,
            kept_outer_stride: 0,
            kept_inner_stride: 1,
            length: slices,
            inner: slices,
            outer_stride: 0,
            inner_stride: kept,
            slice: slices,
            slices: 1,
        }
    }
}

/// Launches one stage, over elements of `dtype`.
fn stage(e: &mut Emit<'_>, params: &GradParams, rows: bool, dtype: DType, buffers: [Slot; 2]) {
    let kernel = held::floats(Kernel::new("broadcast.grad", e.variant, INDEX), dtype);
    let (kernel, groups) = match e.variant {
        "lanes" => (kernel.followed_by(LANES), (params.kept * params.slices).div_ceil(8)),
        SUBGROUPS => (lanes::sum256(kernel).followed_by(WHOLE), params.kept * params.slices),
        _ => {
            let columns = columns(params.kept_inner, params.length, rows);
            let kernel = kernel.followed_by(GROUPS).with("COLUMNS", columns);
            (kernel.with("RINNERMOST", u32::from(rows)), params.kept.div_ceil(columns) * params.slices)
        }
    };
    e.launch(kernel, &buffers, params, groups_1d(groups as usize));
}

impl Op for BroadcastGrad {
    fn name(&self) -> &'static str {
        "broadcast.grad"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        x[0].expect_float("broadcast.grad", "dy")?;
        Ok(vec![Type::f32(self.shape)])
    }

    /// `lanes`: an invocation a slice. `groups`: a workgroup a slice of one or more sums. `subgroups`, of one: as `groups`,
    /// but added within subgroups. Of several, a tree is left: WGSL does not say which of the lanes a subgroup holds.
    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        let variants = if caps.software { vec!["lanes", "groups"] } else { vec!["groups", "lanes"] };
        let whole = Sum::new(self.shape, x[0].shape, "groups").is_ok_and(|sum| sum.is_whole());
        if whole { and_subgroups(variants, caps) } else { variants }
    }

    fn workspace(&self, x: &[Type], _y: &[Type], variant: &'static str, _caps: &Caps) -> Vec<Type> {
        // `infer` of the forward op has checked the shapes: without a sum there is nothing to hold.
        let sum = Sum::new(self.shape, x[0].shape, variant).ok().filter(|s| s.first.slices > 1);
        sum.map(|s| Type::f32([s.first.slices as usize, s.first.kept as usize])).into_iter().collect()
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (sum, dtype) = (Sum::new(self.shape, e.x[0].shape, e.variant)?, e.x[0].dtype);
        if sum.first.slices == 1 {
            stage(e, &sum.first, sum.rows, dtype, [Slot::In(0), Slot::Out(0)]);
        } else {
            stage(e, &sum.first, sum.rows, dtype, [Slot::In(0), Slot::Work(0)]);
            stage(e, &sum.second(), false, DType::F32, [Slot::Work(0), Slot::Out(0)]);
        }
        Ok(())
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: x[0].shape.numel() as u64, bytes: x[0].bytes() + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, x: &[usize], y: &[usize]| {
        let shape = Shape::new(y);
        Case::new(name, Broadcast { shape }, vec![(Type::f32(Shape::new(x)), Fill::Normal)])
    };
    let mut cases = vec![
        case("one", &[1], &[1]),
        case("nothing repeated", &[3, 5], &[3, 5]),
        case("a scalar", &[], &[3, 7]),
        case("rows", &[7], &[5, 7]),
        case("rows of whole vec4", &[8], &[5, 8]),
        case("columns", &[7, 1], &[7, 5]),
        case("columns of whole vec4", &[7, 1], &[7, 36]),
        case("channels", &[5, 1, 1], &[3, 5, 7, 3]),
        case("alternating", &[3, 1, 5, 1], &[3, 4, 5, 7]),
        case("alternating, the other way", &[1, 6, 1, 4], &[3, 6, 5, 4]),
        case("six dimensions", &[2, 3, 1, 1, 5, 2], &[2, 3, 4, 3, 5, 2]),
        case("many short sums", &[1031, 1], &[1031, 3]),
        case("many rows", &[33], &[1031, 33]),
        case("long rows in two stages", &[3, 1], &[3, 5003]),
        case("long columns in two stages", &[1, 5], &[5003, 5]),
        case("one sum in two stages", &[1, 1], &[131, 129]),
    ];
    let halves = [
        case("f16, a scalar", &[], &[3, 7]),
        case("f16, rows", &[7], &[5, 7]),
        case("f16, rows of whole words", &[6], &[5, 6]),
        case("f16, rows of four words", &[3, 1, 16], &[3, 5, 16]),
        case("f16, columns", &[7, 1], &[7, 5]),
        case("f16, alternating", &[3, 1, 5, 1], &[3, 4, 5, 7]),
        case("f16, alternating, the other way", &[1, 6, 1, 4], &[3, 6, 5, 4]),
        case("f16, long columns in two stages", &[1, 5], &[5003, 5]),
    ];
    cases.extend(halves.map(|case| case.halved(&[0])));
    cases.push(Case::new("labels", Broadcast { shape: [7, 3].into() }, vec![(Type::u32([7, 1]), Fill::Below(9))]));
    cases
}
