//! Finds what the image library does not give for a TIFF file: whether more pages follow, and the meaning of a fourth
//! sample.

use super::flatten::Alpha;
use super::form::{Mode, PixelForm};
use image::metadata::Orientation;

/// The contents of the first page's directory.
pub struct Facts {
    /// The meaning of the extra sample.
    pub alpha: Alpha,
    /// Whether another page follows.
    pub several: bool,
    /// What its samples are.
    pub samples: Samples,
    /// How its picture is turned.
    pub orientation: Orientation,
    /// Bits of a sample, and samples of a pixel.
    bits: u64,
    each: u64,
    /// PhotometricInterpretation.
    photometric: u64,
}

impl Facts {
    /// How its pixels are stored.
    pub fn form(&self) -> PixelForm {
        let mode = match (self.photometric, self.each) {
            (0 | 1, _) => Mode::Gray,
            (5, _) => Mode::Cmyk,
            (_, 4) => Mode::Rgba,
            _ => Mode::Rgb,
        };
        PixelForm { mode, bits: self.bits.min(64) as u32, float: self.samples == Samples::Float }
    }
}

/// How the samples are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// As whole numbers, in a way that the image library reads.
    Whole,
    /// As floating-point numbers.
    Float,
    /// As JPEGs.
    Jpeg,
}

const BITS: u64 = 258;
const COMPRESSION: u64 = 259;
const PHOTOMETRIC: u64 = 262;
const ORIENTATION: u64 = 274;
const SAMPLES: u64 = 277;
const PLANES: u64 = 284;
const EXTRA_SAMPLES: u64 = 338;
const SAMPLE_FORMAT: u64 = 339;

/// Reads the first directory. Refuses what the library would read as another picture, or would refuse without a name.
pub fn facts(bytes: &[u8]) -> Result<Facts, String> {
    let big = bytes.get(2..4).is_some_and(|b| b.contains(&43));
    let file = File { bytes, little: bytes.first() == Some(&b'I') };
    // A classic TIFF has a count of 2 bytes and entries of 12 bytes with a value of 4. BigTIFF has 8, 20 and 8.
    let (start, counted, entry, room) = if big { (8, 8, 20, 8) } else { (4, 2, 12, 4) };
    let first = file.number(start, room)?;
    let count = file.number(first, counted)?;
    let entries = first.saturating_add(counted);
    let next = file.number(entries.saturating_add(count.saturating_mul(entry)), room)?;
    let mut facts = Facts {
        alpha: Alpha::Straight,
        several: next != 0,
        samples: Samples::Whole,
        orientation: Orientation::NoTransforms,
        bits: 1,
        each: 1,
        photometric: 1,
    };
    for at in (0..count).map(|i| entries + i * entry) {
        let values = file.number(at + 4, room)?;
        let value = || {
            let (tag, kind) = (file.number(at, 2)?, file.number(at + 2, 2)?);
            let bytes = match kind {
                1 => 1,
                3 => 2,
                4 => 4,
                16 => 8,
                _ => {
                    return Err(format!("its tag {tag} is of type {kind}, which is not a whole number; save it again"));
                }
            };
            // Numbers are in the entry if they fit, otherwise where the entry points.
            let inside = values.saturating_mul(bytes) <= room;
            file.number(if inside { at + entry - room } else { file.number(at + entry - room, room)? }, bytes)
        };
        let save = "save it with 8 or 16 bits per sample, as gray or RGB";
        match file.number(at, 2)? {
            BITS => facts.bits = value().unwrap_or(facts.bits), // for people alone
            COMPRESSION if value()? == 6 => {
                return Err(
                    "the old form of JPEG within TIFF is not read; save it with LZW or Deflate, or as JPEG".into()
                );
            }
            COMPRESSION if value()? == 7 => facts.samples = Samples::Jpeg,
            PHOTOMETRIC if value()? == 3 => return Err(format!("a palette is not read; {save}, or as PNG")),
            PHOTOMETRIC if !(matches!(value()?, 0 | 1 | 2 | 5) || facts.samples == Samples::Jpeg && value()? == 6) => {
                return Err(format!("the colour space {} (PhotometricInterpretation) is not read; {save}", value()?));
            }
            SAMPLES if value()? == 2 => return Err(format!("gray with a second sample is not read; {save}")),
            PHOTOMETRIC => facts.photometric = value()?,
            SAMPLES => facts.each = value()?,
            PLANES if value()? == 2 => return Err(format!("colours in separate planes are not read; {save}")),
            ORIENTATION => {
                let turned = u8::try_from(value()?).ok().and_then(Orientation::from_exif);
                facts.orientation = turned.unwrap_or(Orientation::NoTransforms);
            }
            SAMPLE_FORMAT if value()? == 3 => facts.samples = Samples::Float,
            SAMPLE_FORMAT if value()? == 2 => return Err(format!("signed samples are not read; {save}")),
            EXTRA_SAMPLES if value()? != 2 => facts.alpha = Alpha::Done,
            _ => {}
        }
    }
    Ok(facts)
}

struct File<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl File<'_> {
    /// The number in the `n` bytes at `at`.
    fn number(&self, at: u64, n: u64) -> Result<u64, String> {
        let range = usize::try_from(at).ok().zip(usize::try_from(at.saturating_add(n)).ok());
        let bytes = range.and_then(|(a, b)| self.bytes.get(a..b)).ok_or("its directory is cut")?;
        let join = |n: u64, b: &u8| n << 8 | u64::from(*b);
        Ok(if self.little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with one tag, in either byte order.
    fn file(little: bool, tag: u16, kind: u16, value: &[u8]) -> Vec<u8> {
        let (two, four) = (
            |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() },
            |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() },
        );
        let mut field = value.to_vec();
        field.resize(4, 0);
        let head = if little { b"II" } else { b"MM" };
        [&head[..], &two(42), &four(8), &two(1), &two(tag), &two(kind), &four(1), &field, &four(0)].concat()
    }

    #[test]
    fn a_number_is_read_in_its_own_type() {
        let palette = |little, kind, value: &[u8]| facts(&file(little, PHOTOMETRIC as u16, kind, value)).err();
        for (little, kind, value) in [
            (true, 1, &[3][..]),
            (false, 1, &[3]),
            (true, 3, &[3, 0]),
            (false, 3, &[0, 3]),
            (true, 4, &[3, 0, 0, 0]),
            (false, 4, &[0, 0, 0, 3]),
        ] {
            let said = palette(little, kind, value).unwrap_or_default();
            assert!(said.contains("a palette is not read"), "{little} {kind} {value:?}: {said}");
        }
        for kind in [0, 2, 5, 11, 12] {
            let said = palette(true, kind, &[1, 0]).unwrap_or_default();
            assert!(said.contains(&format!("type {kind}")), "{said}");
        }
        assert!(palette(false, 4, &[0, 0, 0, 1]).is_none());
    }
}
