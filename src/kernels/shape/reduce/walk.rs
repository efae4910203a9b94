//! How a reduction walks: the axes of x joined into at most two kept and two reduced ones, and the numbers of the
//! kernels of `shaders/shape/reduce/`.

use crate::base::{Error, Result, Shape};
use crate::device::Caps;
use crate::params;

params! {
    /// A walk over all terms of all outputs.
    pub struct Walk {
        outputs: u32, terms: u32, kept: u32, kept_outer: u32, kept_inner: u32,
        inner: u32, reduced_outer: u32, reduced_inner: u32, step: u32, jump: u32, rest: u32, wrap: u32,
        slices: u32, slice: u32, scale: f32, inverse: f32,
    }
}

/// Size and stride of an axis.
type Axis = [u32; 2];

/// A tensor as a reduction sees it.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// Sizes of the joined axes from the outermost, 1 in front where there are fewer than four, and whether each is
    /// reduced.
    pub joined: [(u32, bool); 4],
    kept: [Axis; 2],
    reduced: [Axis; 2],
}

impl Spans {
    /// Joins the axes of x; an error names what is wrong with the axes.
    pub fn new(x: Shape, axes: &[u32]) -> Result<Spans> {
        let distinct = axes.iter().enumerate().all(|(i, a)| !axes[..i].contains(a));
        if axes.is_empty() || !distinct || axes.iter().any(|&a| a as usize >= x.rank()) {
            let what = format!("the axes {axes:?} of {x} must be at least one, each there, and each named once");
            return Err(Error::shape("reduce", what));
        }
        let mut joined: Vec<(u32, bool)> = Vec::new();
        for (i, &size) in x.dims().iter().enumerate().filter(|d| *d.1 != 1) {
            let reduced = axes.contains(&(i as u32));
            match joined.last_mut() {
                Some(last) if last.1 == reduced => last.0 *= size,
                _ => joined.push((size, reduced)),
            }
        }
        let Some(missing) = 4usize.checked_sub(joined.len()) else {
            let what = format!("the axes {axes:?} of {x} alternate with others more than four times; permute x first");
            return Err(Error::shape("reduce", what));
        };
        joined.splice(0..0, std::iter::repeat_n((1, false), missing));
        let mut spans = Spans { joined: [(1, false); 4], kept: [[1, 0]; 2], reduced: [[1, 0]; 2] };
        spans.joined.copy_from_slice(&joined);
        let mut stride = 1;
        for &(size, reduced) in joined.iter().rev().filter(|j| j.0 != 1) {
            let list = if reduced { &mut spans.reduced } else { &mut spans.kept };
            *list = if list[1] == [1, 0] { [[1, 0], [size, stride]] } else { [[size, stride], list[1]] };
            stride *= size;
        }
        Ok(spans)
    }

    /// `slices` partial results of each output, one list of outputs after the other, as a tensor to reduce again.
    pub fn of_partials(outputs: u32, slices: u32) -> Spans {
        let joined = [(1, false), (1, false), (slices, true), (outputs, false)];
        Spans { joined, kept: [[1, 0], [outputs, 1]], reduced: [[1, 0], [slices, outputs]] }
    }

    /// Elements of the result.
    pub fn outputs(&self) -> u32 {
        self.kept[0][0] * self.kept[1][0]
    }

    /// Elements that each of them comes from.
    pub fn terms(&self) -> u32 {
        self.reduced[0][0] * self.reduced[1][0]
    }

    /// Strides of the joined axes in the list of outputs, and in that of an output's terms.
    pub fn places(&self) -> [[u32; 4]; 2] {
        let (mut strides, mut places) = ([1, 1], [[0; 4]; 2]);
        for (i, &(size, reduced)) in self.joined.iter().enumerate().rev() {
            let list = usize::from(reduced);
            places[list][i] = strides[list];
            strides[list] *= size;
        }
        places
    }
}

/// Lanes of a workgroup: how many share the terms of an output, and how far apart neighbouring terms and neighbouring
/// outputs are among them.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    /// How many share an output.
    pub terms: u32,
    /// From a term to the next.
    pub term_stride: u32,
    /// From an output to the next.
    pub out_stride: u32,
}

impl Lanes {
    /// All share one output.
    pub const WHOLE: Lanes = Lanes { terms: 256, term_stride: 1, out_stride: 256 };

    /// What suits these axes.
    pub fn new(spans: &Spans) -> Lanes {
        if spans.reduced[1][1] == 1 {
            let terms = spans.terms().div_ceil(4).next_power_of_two().clamp(8, 256);
            return Lanes { terms, term_stride: 1, out_stride: terms };
        }
        let width = spans.outputs().next_power_of_two().min(32);
        Lanes { terms: 256 / width, term_stride: width, out_stride: 1 }
    }

    /// Outputs of a workgroup.
    pub fn width(&self) -> u32 {
        256 / self.terms
    }
}

/// In how many slices the terms of each output are walked: enough that every core has work, each long enough to pay
/// for the second stage. A software adapter has few cores and one lane to a slice.
pub fn slices(spans: &Spans, variant: &str, caps: &Caps) -> u32 {
    let (wanted, shortest) = match variant {
        "rows" => ((if caps.software { 64 } else { 16_384 }) / spans.outputs(), 512),
        _ => {
            let lanes = Lanes::new(spans);
            (512 / spans.outputs().div_ceil(lanes.width()), 16 * lanes.terms)
        }
    };
    let slices = wanted.min(spans.terms() / shortest).max(1);
    spans.terms().div_ceil(spans.terms().div_ceil(slices))
}

impl Walk {
    /// The numbers of a walk in `slices` slices, in steps of `step` terms, whose results are multiplied by `scale`;
    /// `inverse` is one over the number of all terms of an output.
    pub fn new(spans: &Spans, slices: u32, step: u32, [scale, inverse]: [f32; 2]) -> Walk {
        let ([[_, kept_outer], [kept, kept_inner]], [[_, outer], [inner, inner_stride]]) = (spans.kept, spans.reduced);
        let (whole, rest) = (step / inner, step % inner);
        Walk {
            outputs: spans.outputs(),
            terms: spans.terms(),
            kept,
            kept_outer,
            kept_inner,
            inner,
            reduced_outer: outer,
            reduced_inner: inner_stride,
            step,
            jump: (whole * outer).wrapping_add(rest * inner_stride),
            rest,
            wrap: outer.wrapping_sub(inner * inner_stride),
            slices,
            slice: spans.terms().div_ceil(slices),
            scale,
            inverse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_joined() {
        let spans = |dims: &[usize], axes: &[u32]| Spans::new(Shape::new(dims), axes).unwrap();
        let s = spans(&[2, 3, 4, 5], &[0, 2, 3]);
        assert_eq!((s.kept, s.reduced), ([[1, 0], [3, 20]], [[2, 60], [20, 1]]));
        assert_eq!(s.joined, [(1, false), (2, true), (3, false), (20, true)]);
        assert_eq!(s.places(), [[3, 0, 1, 0], [0, 20, 0, 1]]);
        let s = spans(&[2, 3, 4, 5], &[1, 3]);
        assert_eq!((s.outputs(), s.terms(), s.kept, s.reduced), (8, 15, [[2, 60], [4, 5]], [[3, 20], [5, 1]]));
        assert_eq!((spans(&[7], &[0]).outputs(), spans(&[1, 1], &[1]).terms()), (1, 1));
        assert!(Spans::new(Shape::from([2, 3]), &[2]).unwrap_err().to_string().contains("[2, 3]"));
        assert!(Spans::new(Shape::from([2, 3]), &[]).is_err() && Spans::new(Shape::from([2, 3]), &[1, 1]).is_err());
    }
}
