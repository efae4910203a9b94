//! Hashes of 64 bits that differ in few bits, found without comparing each with each (multi-index hashing, Norouzi et al.
//! 2012, arXiv 1307.2982).
//!
//! A hash is four bands of 16 bits. If two hashes differ in at most 15 bits, one of their bands differs in at most three.
//! So each band has a table of the hashes by its value, and the 697 values within three bits of an own band give all
//! candidates. With random hashes a search of n hashes looks at a twentieth of n² / 2 pairs. Where many hashes are nearly
//! equal, as those of one body part, it looks at each of their pairs, as it must.

/// Bands of a hash, and the bits of one.
const BANDS: usize = 4;
const BITS: u32 = 16;
/// The bits in which the nearest bands of two hashes differ at most.
const OF_BAND: u32 = 3;
/// The largest distance of two hashes that is found.
pub const FARTHEST: u32 = BANDS as u32 * (OF_BAND + 1) - 1;

/// Hashes in tables by their bands.
pub struct Bands<'a> {
    hashes: &'a [u64],
    /// The differences of a band that are looked at.
    masks: Vec<u16>,
    tables: [Table; BANDS],
}

/// The places of hashes by the value of one band: those of a value stand together, in rising order.
struct Table {
    starts: Vec<u32>,
    places: Vec<u32>,
}

impl<'a> Bands<'a> {
    /// Tables of these hashes.
    pub fn new(hashes: &'a [u64]) -> Self {
        let masks = (0..=u16::MAX).filter(|mask| mask.count_ones() <= OF_BAND).collect();
        let tables = [0, 1, 2, 3].map(|band| Table::new(hashes, band));
        Bands { hashes, masks, tables }
    }

    /// The later hashes that differ from that at `own` in at most `most` bits, in rising order. `most` is at most
    /// [`FARTHEST`].
    pub fn later(&self, own: usize, most: u32) -> Vec<usize> {
        let hash = self.hashes[own];
        let mut found = Vec::new();
        for (band, table) in self.tables.iter().enumerate() {
            for mask in &self.masks {
                for &place in table.after(of(hash, band) ^ mask, own) {
                    let differs = self.hashes[place as usize] ^ hash;
                    // A pair that several bands propose is taken from the first of them.
                    let first = || (0..band).all(|b| of(differs, b).count_ones() > OF_BAND);
                    if differs.count_ones() <= most && first() {
                        found.push(place as usize);
                    }
                }
            }
        }
        found.sort_unstable();
        found
    }
}

impl Table {
    fn new(hashes: &[u64], band: usize) -> Self {
        let mut starts = vec![0u32; (1 << BITS) + 1];
        hashes.iter().for_each(|h| starts[usize::from(of(*h, band)) + 1] += 1);
        (0..1 << BITS).for_each(|value| starts[value + 1] += starts[value]);
        let (mut next, mut places) = (starts.clone(), vec![0; hashes.len()]);
        for (place, hash) in hashes.iter().enumerate() {
            let at = &mut next[usize::from(of(*hash, band))];
            places[*at as usize] = place as u32;
            *at += 1;
        }
        Table { starts, places }
    }

    /// The places behind `own` of hashes with this value of the band.
    fn after(&self, value: u16, own: usize) -> &[u32] {
        let value = usize::from(value);
        let places = &self.places[self.starts[value] as usize..self.starts[value + 1] as usize];
        &places[places.partition_point(|place| *place as usize <= own)..]
    }
}

/// A band of a hash.
fn of(hash: u64, band: usize) -> u16 {
    (hash >> (band as u32 * BITS)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// Random hashes, copies, and hashes at each distance from another, which are found as comparing each with each finds
    /// them.
    #[test]
    fn tables_find_what_comparing_each_with_each_finds() {
        let mut rng = Rng::new(3, 0, 0);
        let word = |rng: &mut Rng| (0..4).fold(0u64, |h, _| h << 16 | rng.below(1 << 16) as u64);
        let mut hashes: Vec<u64> = (0..150).map(|_| word(&mut rng)).collect();
        for i in 0..150 {
            // A difference of i % 20 bits, in any bands: of hash 7 in a single one.
            let bits = rng.permutation(if i % 10 == 7 { 16 } else { 64 });
            hashes.push(bits[..(i % 20).min(16)].iter().fold(hashes[i], |h, bit| h ^ 1 << bit));
        }
        let bands = Bands::new(&hashes);
        let mut pairs = [0; 3];
        for (k, most) in [0, 12, FARTHEST].into_iter().enumerate() {
            for i in 0..hashes.len() {
                let near = |j: &usize| (hashes[*j] ^ hashes[i]).count_ones() <= most;
                let due: Vec<usize> = (i + 1..hashes.len()).filter(near).collect();
                assert_eq!(bands.later(i, most), due, "{i} within {most} bits");
                pairs[k] += due.len();
            }
        }
        assert!(pairs[0] >= 7 && pairs[1] > pairs[0] + 50 && pairs[2] > pairs[1], "{pairs:?}");
    }
}
