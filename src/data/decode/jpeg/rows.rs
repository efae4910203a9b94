//! Rows of a component in the size of the picture, to the bits of libjpeg's `jdsample.c`.
//!
//! Components of half the columns or rows are interpolated, with weights of 3 and 1. Rounding goes up and down by turns,
//! so that it has no bias. Components of other sizes, and those of two columns or less, are repeated.

use super::frame::{Component, Frame};

/// How a component becomes as large as the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It is.
    Same,
    /// Twice the columns.
    Wider,
    /// Twice the rows.
    Taller,
    /// Both.
    Larger,
    /// Each sample so many times, across and down.
    Repeated(usize, usize),
}

/// Makes the rows of a component.
pub struct Rows<'a> {
    component: &'a Component,
    how: How,
    /// Two rows of the component that are mixed, each sample with two bits behind the point.
    mixed: Vec<u16>,
    /// The row that was made last, with one sample more where the picture has an odd number.
    row: Vec<u8>,
    width: usize,
}

impl<'a> Rows<'a> {
    /// The rows of a component of a frame.
    pub fn new(frame: &Frame, component: &'a Component) -> Self {
        let (h, v) = component.sampling;
        let how = match (frame.most.0 / h, frame.most.1 / v) {
            (1, 1) => How::Same,
            (2, 1) if component.size.0 > 2 => How::Wider,
            (1, 2) => How::Taller,
            (2, 2) if component.size.0 > 2 => How::Larger,
            (across, down) => How::Repeated(across, down),
        };
        let columns = component.size.0 * frame.most.0 / h;
        Rows { component, how, mixed: vec![0; component.size.0], row: vec![0; columns], width: frame.width }
    }

    /// Row `y` of the picture.
    pub fn row(&mut self, y: usize) -> &[u8] {
        let c = self.component;
        // The row itself and the nearer one of its neighbours. Beyond an edge is the edge.
        let next = |y: usize| match y % 2 {
            0 => (y / 2, (y / 2).saturating_sub(1)),
            _ => (y / 2, (y / 2 + 1).min(c.size.1 - 1)),
        };
        match self.how {
            How::Same => return &c.row(y)[..self.width],
            How::Wider => doubled(c.row(y), &mut self.row, [1, 2], 2),
            How::Taller => {
                let (this, other) = next(y);
                let half = 1 + (y % 2) as u16;
                for ((to, &a), &b) in self.row.iter_mut().zip(c.row(this)).zip(c.row(other)) {
                    *to = ((3 * u16::from(a) + u16::from(b) + half) >> 2) as u8;
                }
            }
            How::Larger => {
                let (this, other) = next(y);
                for ((to, &a), &b) in self.mixed.iter_mut().zip(c.row(this)).zip(c.row(other)) {
                    *to = 3 * u16::from(a) + u16::from(b);
                }
                doubled(&self.mixed, &mut self.row, [8, 7], 4);
            }
            How::Repeated(across, down) => {
                for (to, &from) in self.row.chunks_exact_mut(across).zip(c.row(y / down)) {
                    to.fill(from);
                }
            }
        }
        &self.row[..self.width]
    }
}

/// Twice the columns of samples: each is mixed with the neighbour on either side, and beyond an edge is the edge. Rounding
/// adds `half` to a sample's left and right part and drops `down` bits.
fn doubled<T: Copy + Into<u16>>(from: &[T], to: &mut [u8], half: [u16; 2], down: u32) {
    // So many become vector code; their number is known, so that no index is checked.
    const AT_ONCE: usize = 8;
    let mix = |this: T, other: T, half: u16| ((3 * this.into() + other.into() + half) >> down) as u8;
    let (last, mut at) = (from.len() - 1, 1);
    (to[0], to[1]) = (mix(from[0], from[0], half[0]), mix(from[0], from[1], half[1]));
    while at + AT_ONCE <= last {
        let (left, this, right) =
            (from[at - 1..].first_chunk::<AT_ONCE>(), from[at..].first_chunk(), from[at + 1..].first_chunk());
        let out = to[2 * at..].first_chunk_mut::<{ 2 * AT_ONCE }>();
        let (Some(left), Some(this), Some(right), Some(out)): (_, Option<&[T; AT_ONCE]>, Option<&[T; AT_ONCE]>, _) =
            (left, this, right, out)
        else {
            break;
        };
        for i in 0..AT_ONCE {
            out[2 * i] = mix(this[i], left[i], half[0]);
            out[2 * i + 1] = mix(this[i], right[i], half[1]);
        }
        at += AT_ONCE;
    }
    for i in at..last {
        (to[2 * i], to[2 * i + 1]) = (mix(from[i], from[i - 1], half[0]), mix(from[i], from[i + 1], half[1]));
    }
    (to[2 * last], to[2 * last + 1]) = (mix(from[last], from[last - 1], half[0]), mix(from[last], from[last], half[1]));
}
