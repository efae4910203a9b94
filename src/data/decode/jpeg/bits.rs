//! Huffman codes, and the bits of entropy-coded data.

/// Codes of up to so many bits are looked up at once, with the bits of their value where these fit, too. Four such tables
/// stay in the first cache, and nine of ten codes of a photograph fit.
const LOOK: u32 = 10;

/// A number that follows a code, from its bits (F.2.2.1): those that begin with 0 are negative.
pub fn extended(bits: u32, size: u32) -> i32 {
    let below = i32::from(size > 0 && bits >> (size - 1) == 0);
    bits as i32 - below * ((1 << size) - 1)
}

/// What the next [`LOOK`] bits begin with.
#[derive(Clone, Copy, Default)]
struct Short {
    /// The number that follows the code, if its bits are among those. It is never 0.
    value: i16,
    /// The value of the code.
    symbol: u8,
    /// The bits of the code, and of the number if there is one. 0 where the code is longer than [`LOOK`] or in no table.
    length: u8,
}

/// Huffman codes. Short codes by the next bits. Longer codes: the largest code of each length.
pub struct Table {
    short: [Short; 1 << LOOK],
    /// For each length: the first code after it, shifted to 16 bits, and the difference between a code and the index of
    /// its value.
    long: [(u32, i32); 17],
    values: Vec<u8>,
}

impl Table {
    /// The codes of `counts` values of each length from 1 to 16.
    pub fn new(counts: &[u8], values: &[u8]) -> Result<Self, String> {
        let mut table = Table { short: [Short::default(); 1 << LOOK], long: [(0, 0); 17], values: values.to_vec() };
        let (mut code, mut at) = (0u32, 0usize);
        for length in 1..=16u32 {
            let n = usize::from(counts[length as usize - 1]);
            if code + n as u32 > 1 << length {
                return Err(format!("a table holds more Huffman codes of {length} bits than there are"));
            }
            table.long[length as usize] = ((code + n as u32) << (16 - length), at as i32 - code as i32);
            for &symbol in &values[at..at + n] {
                if length <= LOOK {
                    let first = (code as usize) << (LOOK - length);
                    let all = &mut table.short[first..first + (1 << (LOOK - length))];
                    put(all, symbol, length);
                }
                code += 1;
                at += 1;
            }
            code <<= 1;
        }
        Ok(table)
    }

    /// The value of the code of more than [`LOOK`] bits with which 16 bits begin, and its length.
    #[cold]
    fn long(&self, next: u32) -> Option<(u8, u32)> {
        let length = (LOOK + 1..17).find(|&l| next < self.long[l as usize].0)?;
        let index = (next >> (16 - length)) as i32 + self.long[length as usize].1;
        Some((self.values[index as usize], length))
    }
}

/// Fills the places of a code of `length` bits, one for each way in which the bits go on.
fn put(all: &mut [Short], symbol: u8, length: u32) {
    let (size, rest) = (u32::from(symbol & 15), LOOK - length);
    if size == 0 || size > rest {
        all.fill(Short { value: 0, symbol, length: length as u8 });
        return;
    }
    for (bits, same) in all.chunks_exact_mut(1 << (rest - size)).enumerate() {
        let value = extended(bits as u32, size) as i16;
        same.fill(Short { value, symbol, length: (length + size) as u8 });
    }
}

/// Why data cannot be read.
pub type Wrong = &'static str;

const CUT: Wrong = "its data ends before the picture does: the file is cut or damaged";

const NO_CODE: Wrong = "its data holds a code that is in no table: the file is damaged";

/// The bits of entropy-coded data up to the next marker.
#[derive(Clone, Copy)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    /// The index of the next byte.
    pub at: usize,
    /// The next bits, the first one highest.
    held: u64,
    /// How many of them are there. Those behind may be the first ones of the next byte.
    count: u32,
}

impl<'a> Bits<'a> {
    /// The bits from the byte `at` on.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Bits { bytes, at, held: 0, count: 0 }
    }

    /// Takes up bytes until there are at least 56 bits or the data ends.
    #[inline]
    fn fill(&mut self) {
        const ONES: u64 = u64::MAX / 255; // 1 in each byte
        if let Some(&eight) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_be_bytes(eight);
            // Without a byte of ones there is neither a marker nor a stuffed zero. Such a byte is a zero here.
            let flipped = !word;
            if flipped.wrapping_sub(ONES) & word & (ONES << 7) == 0 {
                self.held |= word >> self.count;
                let bytes = (63 - self.count) / 8;
                self.at += bytes as usize;
                self.count += 8 * bytes;
                return;
            }
        }
        (self.at, self.held, self.count) = filled(self.bytes, self.at, self.held, self.count);
    }

    #[inline(always)]
    fn skip(&mut self, n: u32) -> Result<(), Wrong> {
        self.count = self.count.checked_sub(n).ok_or(CUT)?;
        self.held <<= n;
        Ok(())
    }

    /// The next `n` bits, at most 16.
    #[inline]
    pub fn take(&mut self, n: u32) -> Result<u32, Wrong> {
        if self.count < n {
            self.fill();
        }
        let bits = ((self.held >> 32) >> (32 - n)) as u32;
        self.skip(n)?;
        Ok(bits)
    }

    /// The value of the next code.
    #[inline]
    pub fn symbol(&mut self, table: &Table) -> Result<u8, Wrong> {
        if self.count < 16 {
            self.fill();
        }
        let short = self.short(table);
        let number = if short.value == 0 { 0 } else { short.symbol & 15 };
        self.code(table, short, u32::from(short.length - number))
    }

    /// The value of the next code, and the number that follows it: as many bits as the lower half of the value says.
    #[inline(always)]
    pub fn number(&mut self, table: &Table) -> Result<(u8, i32), Wrong> {
        if self.count < 32 {
            self.fill();
        }
        let short = self.short(table);
        if short.value != 0 {
            self.skip(short.length.into())?;
            return Ok((short.symbol, short.value.into()));
        }
        let symbol = self.code(table, short, short.length.into())?;
        let size = u32::from(symbol & 15);
        Ok((symbol, extended(self.take(size)?, size)))
    }

    #[inline(always)]
    fn short(&self, table: &Table) -> Short {
        table.short[(self.held >> (64 - LOOK)) as usize]
    }

    /// The value of a code of so many bits, or of more than [`LOOK`].
    #[inline(always)]
    fn code(&mut self, table: &Table, short: Short, length: u32) -> Result<u8, Wrong> {
        if length > 0 {
            self.skip(length)?;
            return Ok(short.symbol);
        }
        let (symbol, length) = table.long((self.held >> 48) as u32).ok_or(NO_CODE)?;
        self.skip(length)?;
        Ok(symbol)
    }

    /// Ends a run of data. Only the bits of a begun byte may be left, and zeros, with which some encoders pad.
    pub fn end(&mut self) -> Result<(), Wrong> {
        self.take(self.count % 8)?;
        loop {
            if self.count == 0 {
                self.held = 0;
                self.fill();
            }
            if self.count == 0 {
                return Ok(());
            }
            if self.take(8)? != 0 {
                return Err("its data goes on after the end of the picture: the file is damaged");
            }
        }
    }

    /// Skips the restart marker number `n`.
    pub fn restart(&mut self, n: u8) -> Result<(), String> {
        self.end()?;
        while self.bytes.get(self.at) == Some(&0xFF) && self.bytes.get(self.at + 1) == Some(&0xFF) {
            self.at += 1;
        }
        if self.bytes.get(self.at..self.at + 2) != Some(&[0xFF, 0xD0 + n]) {
            return Err(format!("the restart marker {n} is missing at byte {}: the file is damaged", self.at));
        }
        self.at += 2;
        Ok(())
    }
}

/// Takes up bytes one by one, without the zero that is stuffed behind a byte of ones. Numbers go in and out, and no address,
/// so that they stay in registers.
#[cold]
fn filled(bytes: &[u8], mut at: usize, mut held: u64, mut count: u32) -> (usize, u64, u32) {
    while count < 56 {
        let byte = match bytes.get(at) {
            Some(0xFF) if bytes.get(at + 1) == Some(&0) => {
                at += 1;
                0xFF
            }
            Some(0xFF) | None => break,
            Some(&byte) => byte,
        };
        at += 1;
        held |= u64::from(byte) << (56 - count);
        count += 8;
    }
    (at, held, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn numbers_are_those_that_a_reader_of_single_bits_finds() {
        // The code of the value i is i ones and a zero; that of the last value is 16 ones.
        let values: Vec<u8> = (0..17u8).map(|i| i << 4 | [3, 0, 9, 1, 15, 7][usize::from(i) % 6]).collect();
        let table = Table::new(&[[1; 15].as_slice(), &[2]].concat(), &values).unwrap();
        let mut rng = Rng::new(9, 0, 0);
        for trial in 0..300 {
            let ones = 1 + trial % 9; // every so many bytes is one of ones, which no file has so often
            let plain: Vec<u8> =
                (0..100).map(|_| [0xFF, rng.below(256) as u8][usize::from(rng.below(ones) > 0)]).collect();
            let stuffed: Vec<u8> =
                plain.iter().flat_map(|&b| [b, 0].into_iter().take(1 + usize::from(b == 0xFF))).collect();
            let mut left = plain.iter().flat_map(|byte| (0..8).rev().map(move |i| u32::from(byte >> i & 1)));
            let mut bits = Bits::new(&stuffed, 0);
            let mut slow = || {
                let mut index = 0;
                while index < 16 && left.next()? == 1 {
                    index += 1;
                }
                let size = u32::from(values[index] & 15);
                let number = (0..size).try_fold(0, |all, _| Some(all << 1 | left.next()?))?;
                Some((values[index], extended(number, size)))
            };
            while let Some(due) = slow() {
                assert_eq!(bits.number(&table), Ok(due));
            }
            assert_eq!(bits.number(&table), Err(CUT));
        }
    }
}
