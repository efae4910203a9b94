//! What the image library does not tell of a TIFF file: whether pages follow, and what a fourth sample means.

use super::flatten::Alpha;

/// What stands in the directory of the first page.
pub struct Facts {
    /// What the extra sample means.
    pub alpha: Alpha,
    /// Whether another page follows.
    pub several: bool,
}

const COMPRESSION: u64 = 259;
const EXTRA_SAMPLES: u64 = 338;

/// Reads the first directory.
pub fn facts(bytes: &[u8]) -> Result<Facts, String> {
    let file = File { bytes, little: bytes.first() == Some(&b'I'), big: bytes.get(2..4).is_some_and(|b| b.contains(&43)) };
    let first = if file.big { file.number(8, 8)? } else { file.number(4, 4)? };
    // Classic: a count of 2 bytes, entries of 12. BigTIFF: 8 and 20.
    let (counted, entry, offset) = if file.big { (8, 20, 8) } else { (2, 12, 4) };
    let count = file.number(first, counted)?;
    let entries = first.saturating_add(counted);
    let next = file.number(entries.saturating_add(count.saturating_mul(entry)), offset)?;
    let mut facts = Facts { alpha: Alpha::Straight, several: next != 0 };
    for i in 0..count {
        let at = entries + i * entry;
        // The value stands in the entry where it is short, as both of these are.
        let value = file.number(at + entry - offset, 2)?;
        match file.number(at, 2)? {
            COMPRESSION if value == 6 || value == 7 => {
                return Err("JPEG within TIFF is not read; save it with LZW or Deflate, or as JPEG".into());
            }
            EXTRA_SAMPLES if value != 2 => facts.alpha = Alpha::Done,
            _ => {}
        }
    }
    Ok(facts)
}

struct File<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
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
