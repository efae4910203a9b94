//! Lookup tables: those of a window's place (PS3.3, C.11.2), and palettes.

use super::elements::{Elements, SIGNED};

/// A lookup table.
pub struct Lut {
    /// The first value that it maps.
    first: i64,
    /// Bits of an entry.
    pub bits: u32,
    /// At least one.
    entries: Vec<u16>,
}

impl Lut {
    /// The entry of a value. Values outside have the first or the last one.
    pub fn at(&self, value: i64) -> u16 {
        self.entries[(value - self.first).clamp(0, self.entries.len() as i64 - 1) as usize]
    }
}

impl Elements {
    /// A lookup table, whose first value may be below 0 where samples are signed, or where `below` says so.
    pub fn table(&self, descriptor: &[u8], data: &[u8], name: &str, below: bool) -> Result<Lut, String> {
        let &[count, first, bits] = &descriptor.chunks_exact(2).map(|two| self.word(two)).collect::<Vec<_>>()[..]
        else {
            return Err(format!("the descriptor of its {name} does not hold three numbers"));
        };
        let count = if count == 0 { 1 << 16 } else { usize::from(count) };
        let entries: Vec<u16> = match data.len() {
            n if n == 2 * count => data.chunks_exact(2).map(|two| self.word(two)).collect(),
            n if n == count + count % 2 => data[..count].iter().map(|&b| u16::from(b)).collect(),
            n => return Err(format!("its {name} has {n} bytes for {count} entries")),
        };
        if !(1..=16).contains(&bits) {
            return Err(format!("its {name} has entries of {bits} bits"));
        }
        let signed = self.short(SIGNED) == Some(1) || below;
        let first = if signed { i64::from(first as i16) } else { i64::from(first) };
        Ok(Lut { first, bits: bits.into(), entries })
    }
}
