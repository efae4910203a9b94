//! permute: y[c_p0, c_p1, …] = x[c_0, c_1, …], the axes of x in another order p.
//! dx is dy with its axes in the inverse order. Shaders: shaders/shape/permute/.
//!
//! Axes of size 1 do not matter and axes that stay neighbours count as one, so that most orders are one of two shapes:
//! rows that move as they are, or planes that are transposed. Halves in rows that stay rows, of an even length, move two at a
//! time, as words.

use crate::base::{DType, Error, Result, Shape};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::{Case, Fill, vec4_grid};
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// The axes of x in the order `axes`: axis i of y is axis `axes[i]` of x.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Permute {
    /// Each axis of x once.
    pub axes: Vec<u32>,
}

params! {
    struct Strided { d1: u32, d2: u32, d3: u32, s0: u32, s1: u32, s2: u32, s3: u32, elements: u32 }
}
params! {
    struct Tiled {
        a: u32, b: u32, x_b: u32, y_a: u32, planes: u32, inner: u32, x_0: u32, x_1: u32, y_0: u32, y_1: u32,
    }
}

const INDEX: &[Piece] = &[piece!("common/index.wgsl"), piece!("common/strided.wgsl")];
/// For rows of whole vec4 that stay rows, for other words, and for halves that do not stay in their words.
const FETCH_VEC4: &[Piece] = &[piece!("shape/permute/fetch_vec4.wgsl")];
const FETCH_WORDS: &[Piece] = &[piece!("shape/permute/fetch_words.wgsl")];
const FETCH_HALVES: &[Piece] = &[piece!("shape/permute/fetch_halves.wgsl")];
const STRIDED: &[Piece] = &[piece!("shape/permute/strided.wgsl")];
const TILED: &[Piece] = &[piece!("common/index.wgsl"), piece!("shape/permute/tiled.wgsl")];

/// Tiles pay from this many elements of both axes.
const TILE_FROM: u32 = 16;

impl Tape {
    /// The axes of x, of any element type, in the order `axes`, each of them once; up to four of them may move apart.
    /// An order that moves no element in memory costs nothing.
    pub fn permute(&mut self, x: Var, axes: &[usize]) -> Result<Var> {
        let op = Permute { axes: axes.iter().map(|&a| a as u32).collect() };
        let ty = op.infer(&[self.ty(x)])?[0];
        if Axes::of(&op, self.shape(x)).is_some_and(|m| m.len < 2) {
            return self.reshape(x, ty.shape);
        }
        self.apply1(op, &[x])
    }
}

/// Size, stride in x and stride in y.
type Axis = [u32; 3];

/// The axes of y from the outermost, without those of size 1 and with neighbours of x joined; the first are of size 1
/// where there are fewer than four.
#[derive(Clone, Copy, Debug)]
struct Axes {
    of_y: [Axis; 4],
    /// How many are not of size 1.
    len: usize,
}

impl Axes {
    /// `None` where more than four axes are left.
    fn of(op: &Permute, x: Shape) -> Option<Axes> {
        let dims = x.dims();
        let stride = |axis: u32| dims[axis as usize + 1..].iter().product::<u32>();
        let mut joined: Vec<Axis> = Vec::new();
        for &axis in op.axes.iter().filter(|&&a| dims[a as usize] != 1) {
            let (size, stride) = (dims[axis as usize], stride(axis));
            match joined.last_mut() {
                Some(last) if last[1] == size * stride => *last = [last[0] * size, stride, 0],
                _ => joined.push([size, stride, 0]),
            }
        }
        let len = joined.len();
        let mut of_y = [[1, 0, 0]; 4];
        of_y.get_mut(4usize.checked_sub(len)?..)?.copy_from_slice(&joined);
        let mut stride = 1;
        for axis in of_y.iter_mut().rev() {
            axis[2] = stride;
            stride *= axis[0];
        }
        Some(Axes { of_y, len })
    }

    /// The last axis of x, the last of y, and the two others, where the last axis moves.
    fn transposed(&self) -> Option<(Axis, Axis, [Axis; 2])> {
        let (b, rest) = self.of_y.split_last()?;
        let at = rest.iter().position(|axis| axis[1] == 1 && axis[0] > 1)?;
        let mut others = rest.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, axis)| *axis);
        Some((rest[at], *b, [others.next()?, others.next()?]))
    }
}

impl Permute {
    fn inverse(&self) -> Permute {
        let mut axes = vec![0; self.axes.len()];
        for (i, &a) in self.axes.iter().enumerate() {
            axes[a as usize] = i as u32;
        }
        Permute { axes }
    }
}

impl Op for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn takes_f16(&self) -> bool {
        true
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let dims = x[0].shape.dims();
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..dims.len() as u32) {
            let what = format!("the order {:?} must name each axis of {} once", self.axes, x[0].shape);
            return Err(Error::shape("permute", what));
        }
        if Axes::of(self, x[0].shape).is_none() {
            let what = format!("the order {:?} of {} moves more than four axes apart", self.axes, x[0].shape);
            return Err(Error::shape("permute", what));
        }
        let dims: Vec<usize> = self.axes.iter().map(|&a| dims[a as usize] as usize).collect();
        Ok(vec![Type { shape: Shape::new(&dims), dtype: x[0].dtype }])
    }

    /// `tiled`: a workgroup turns tiles of words, where the last axis moves. `strided`: every element fetches its own; of
    /// halves, two neighbours of y are then written as one word, which no lane of a tile owns.
    fn variants(&self, x: &[Type], caps: &Caps) -> Vec<&'static str> {
        match Axes::of(self, x[0].shape).and_then(|m| m.transposed()) {
            None => vec!["strided"],
            _ if x[0].dtype == DType::F16 => vec!["strided"],
            Some((a, b, _)) if !caps.software && a[0].min(b[0]) >= TILE_FROM => vec!["tiled", "strided"],
            Some(_) => vec!["strided", "tiled"],
        }
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (elements, buffers) = (e.y[0].shape.numel(), [Slot::In(0), Slot::Out(0)]);
        let Some(axes) = Axes::of(self, e.x[0].shape) else {
            return Err(Error::shape("permute", format!("{} has too many axes", e.x[0].shape)));
        };
        if let ("tiled", Some((a, b, [outer, inner]))) = (e.variant, axes.transposed()) {
            let planes = outer[0] * inner[0];
            let params = Tiled {
                a: a[0],
                b: b[0],
                x_b: b[1],
                y_a: a[2],
                planes,
                inner: inner[0],
                x_0: outer[1],
                x_1: inner[1],
                y_0: outer[2],
                y_1: inner[2],
            };
            let tiles = a[0].div_ceil(32) as usize * b[0].div_ceil(32) as usize * planes as usize;
            e.launch(Kernel::new("permute.forward", "tiled", TILED), &buffers, &params, groups_1d(tiles));
            return Ok(());
        }
        let [[_, s0, _], [d1, s1, _], [d2, s2, _], [d3, s3, _]] = axes.of_y;
        let half = e.x[0].dtype == DType::F16;
        // Where rows stay rows, all other strides are multiples of their length: so they are even where it is.
        let paired = half && s3 == 1 && d3.is_multiple_of(2);
        let by = if paired { 2 } else { 1 };
        let (d3, elements) = (d3 / by, elements / by as usize);
        let params = Strided { d1, d2, d3, s0: s0 / by, s1: s1 / by, s2: s2 / by, s3, elements: elements as u32 };
        let fetch = match s3 == 1 && d3.is_multiple_of(4) {
            _ if half && !paired => FETCH_HALVES,
            true => FETCH_VEC4,
            false => FETCH_WORDS,
        };
        let kernel = Kernel::new("permute.forward", "strided", INDEX).followed_by(fetch).followed_by(STRIDED);
        let (vectors, _) = vec4_grid(elements);
        e.launch(kernel, &buffers, &params, groups_1d(vectors.div_ceil(64) as usize));
        Ok(())
    }

    fn grad(&self, t: &mut Tape, _x: &[Var], _y: &[Var], dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![dy[0].map(|dy| t.apply1(self.inverse(), &[dy])).transpose()?])
    }

    fn cost(&self, _x: &[Type], y: &[Type]) -> Cost {
        Cost { flops: 0, bytes: 2 * y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: &[usize], axes: &[u32]| {
        Case::new(name, Permute { axes: axes.to_vec() }, vec![(Type::f32(Shape::new(shape)), Fill::Normal)])
    };
    vec![
        case("one", &[1, 1], &[1, 0]),
        case("nothing moves", &[3, 1, 5], &[1, 0, 2]),
        case("transpose, prime", &[7, 13], &[1, 0]),
        case("transpose, tiles and one", &[65, 97], &[1, 0]),
        case("a batch of transposes", &[3, 33, 34], &[0, 2, 1]),
        case("channels last", &[2, 5, 6, 7], &[0, 2, 3, 1]),
        case("heads", &[2, 7, 3, 8], &[0, 2, 1, 3]),
        case("heads, odd", &[2, 7, 3, 5], &[0, 2, 1, 3]),
        case("reversed", &[3, 4, 5, 6], &[3, 2, 1, 0]),
        case("two others", &[3, 17, 2, 18], &[3, 2, 0, 1]),
        case("rows swap", &[3, 4, 5], &[1, 0, 2]),
        Case::new("words", Permute { axes: vec![1, 0] }, vec![(Type::u32([5, 9]), Fill::Bytes)]),
        case("f16, transpose, prime", &[7, 13], &[1, 0]).halved(&[0]),
        case("f16, transpose, tiles and one", &[65, 97], &[1, 0]).halved(&[0]),
        case("f16, channels last", &[2, 5, 6, 7], &[0, 2, 3, 1]).halved(&[0]),
        case("f16, heads of whole vec4", &[2, 7, 3, 8], &[0, 2, 1, 3]).halved(&[0]),
        case("f16, heads of whole words", &[2, 7, 3, 6], &[0, 2, 1, 3]).halved(&[0]),
        case("f16, heads, odd", &[2, 7, 3, 5], &[0, 2, 1, 3]).halved(&[0]),
        case("f16, reversed", &[3, 4, 5, 6], &[3, 2, 1, 0]).halved(&[0]),
    ]
}
