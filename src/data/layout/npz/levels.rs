//! What the numbers of an archive's images mean as levels of gray or colour, by their type:
//!
//! | type | read as |
//! |---|---|
//! | `uint8` | levels 0 to 255 |
//! | `bool` | false is black, true is white |
//! | `uint16`, `int16` | as 16-bit pictures: 2^`bit_depth` − 1 is white |
//! | other whole numbers | levels 0 to 255 |
//! | floating point | shares of white if all images of the archive lie between 0 and 1, else levels 0 to 255 |
//!
//! Levels are rounded to the nearest. A number outside its range, NaN and infinity are refused with the image.

use super::member::{Head, Zip, bad};
use crate::base::Result;
use npyz::TypeChar;
use std::path::Path;

/// The bytes that are looked at together for the range of floating-point images. Every size of an element divides it.
const CHUNK: usize = 1 << 20;

/// The largest number, which is white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    top: f64,
    /// Whether bytes are levels already.
    plain: bool,
    /// Whether the highest level is to be told.
    pub deep: bool,
}

impl Scale {
    /// Of images of this type. `range` is that of floating-point images.
    pub fn of(head: &Head, range: Option<(f64, f64)>, bit_depth: u32) -> Self {
        let (top, deep) = match (head.kind, range) {
            ((TypeChar::Bool, _), _) => (1.0, false),
            ((TypeChar::Uint | TypeChar::Int, 2), _) => (f64::from((1u32 << bit_depth) - 1), true),
            ((TypeChar::Float, _), Some((_, most))) if most <= 1.0 => (1.0, false),
            _ => (255.0, false),
        };
        Scale { top, plain: head.kind == (TypeChar::Uint, 1), deep }
    }

    /// The elements of image `i` as levels, and the largest number among them.
    pub fn levels(&self, head: &Head, path: &Path, i: usize, elements: &[u8]) -> Result<(Vec<u8>, f64)> {
        if self.plain {
            return Ok((elements.to_vec(), 0.0));
        }
        let mut most = 0.0;
        let level = |element: &[u8]| {
            let value = head.number(element);
            most = f64::max(most, value);
            if (0.0..=self.top).contains(&value) {
                return Ok((value * 255.0 / self.top + 0.5) as u8);
            }
            let top = self.top;
            let by_depth = if self.deep { " (data.bit_depth)" } else { "" };
            let what = format!(
                "row {i} holds {value}, and black is 0 and white {top}{by_depth}; scale the images to 0 to 255 and save them as uint8"
            );
            Err(bad(path, &head.name, what))
        };
        let levels = elements.chunks_exact(head.kind.1).map(level).collect::<Result<_>>()?;
        Ok((levels, most))
    }
}

/// The smallest and the largest number of floating-point images. None for images of whole numbers.
pub(super) fn range(heads: &[&Head], zip: &mut Zip, path: &Path) -> Result<Option<(f64, f64)>> {
    let mut range: Option<(f64, f64)> = None;
    for head in heads.iter().filter(|head| head.kind.0 == TypeChar::Float) {
        let (mut body, each) = (head.body(zip, path)?, head.kind.1);
        let images = head.shape.first().copied().unwrap_or(1).max(1);
        let per_image = head.size / each / images;
        let mut bytes = vec![0; CHUNK.min(head.size)];
        for start in (0..head.size).step_by(CHUNK) {
            let bytes = &mut bytes[..CHUNK.min(head.size - start)];
            body.fill(bytes)?;
            for (at, element) in bytes.chunks_exact(each).enumerate() {
                let value = head.number(element);
                if !value.is_finite() {
                    let at = start / each + at;
                    let row = if head.fortran { at % images } else { at / per_image.max(1) };
                    return Err(bad(
                        path,
                        &head.name,
                        format!("row {row} holds {value}, which is no level; replace it"),
                    ));
                }
                let (least, most) = range.unwrap_or((value, value));
                range = Some((least.min(value), most.max(value)));
            }
        }
        body.end()?;
    }
    Ok(range)
}

/// A note for the user if images are not whole numbers.
pub(super) fn note(head: &Head, range: Option<(f64, f64)>) -> Option<String> {
    match (head.kind.0, range) {
        (TypeChar::Bool, _) => Some(format!("{} holds truth values: false is black, true is white", head.name)),
        (TypeChar::Float, Some((least, most))) => {
            let meant = if most <= 1.0 { "shares of white" } else { "levels, of which 255 is white" };
            Some(format!(
                "{} holds floating-point numbers; those of the archive's images go from {least} to {most} and are read as {meant}",
                head.name
            ))
        }
        _ => None,
    }
}
