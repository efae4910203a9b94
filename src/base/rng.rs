//! Counter-based randomness: Philox4x32-10 (Salmon et al., SC 2011), the generator that PyTorch uses on GPUs. There is
//! no state and no global generator: the same (seed, stream, counter) gives the same words here and in
//! `shaders/common/rng.wgsl`, bit for bit.

use std::sync::{Mutex, PoisonError};

const M0: u32 = 0xD251_1F53;
const M1: u32 = 0xCD9E_8D57;
const W0: u32 = 0x9E37_79B9;
const W1: u32 = 0xBB67_AE85;

/// One Philox block: four 32-bit words from a 128-bit counter and a 64-bit key.
pub fn philox(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let (p0, p1) = (M0 as u64 * c[0] as u64, M1 as u64 * c[2] as u64);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(W0), k[1].wrapping_add(W1)];
    }
    c
}

/// The fewest draws that are worth a thread: about a millisecond of them.
const FEWEST_DRAWS: usize = 1 << 16;

/// A stream of words, addressed by (seed, stream, counter). The key is the seed. The 128-bit counter is (block, counter
/// low, counter high, stream), so the streams of one seed never overlap.
#[derive(Clone, Debug)]
pub struct Rng {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

impl Rng {
    /// The stream `stream` of `seed`, at `counter`: an epoch, a sample, or whatever the caller counts.
    pub fn new(seed: u64, stream: u32, counter: u64) -> Self {
        let key = [seed as u32, (seed >> 32) as u32];
        Rng { key, counter: [0, counter as u32, (counter >> 32) as u32, stream], words: [0; 4], used: 4 }
    }

    /// The next 32 random bits.
    pub fn word(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform in [0, 1): the top 24 bits.
    pub fn uniform(&mut self) -> f32 {
        unit(self.word())
    }

    /// Uniform in 0..n without modulo bias (Lemire's multiply-shift with rejection). n = 0 is a programming error.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0 && n <= u32::MAX as usize, "below({n}): use a number from 1 to 2³² − 1");
        let n = n as u32;
        loop {
            let m = self.word() as u64 * n as u64;
            if (m as u32) >= n.wrapping_neg() % n {
                return (m >> 32) as usize;
            }
        }
    }

    /// Standard normal by Box–Muller.
    pub fn normal(&mut self) -> f32 {
        let r = (-2.0 * (1.0 - self.uniform() as f64).ln()).sqrt();
        (r * (std::f64::consts::TAU * self.uniform() as f64).cos()) as f32
    }

    /// The first `n` of [`Rng::uniform`] of the stream, drawn on every core.
    pub fn uniforms(&self, n: usize) -> Vec<f32> {
        self.drawn(n, 1, cores(n), Rng::uniform)
    }

    /// The first `n` of [`Rng::normal`] of the stream, drawn on every core.
    pub fn normals(&self, n: usize) -> Vec<f32> {
        self.drawn(n, 2, cores(n), Rng::normal)
    }

    /// `n` draws of exactly `words` words each, 1 or 2, in so many parts at once: where a draw begins is known, so that the values
    /// are those of one after the other.
    fn drawn(&self, n: usize, words: usize, parts: usize, draw: fn(&mut Rng) -> f32) -> Vec<f32> {
        let a_block = 4 / words;
        let part = n.div_ceil(parts).max(1).next_multiple_of(a_block);
        let mut all = vec![0.0; n];
        let left = Mutex::new(all.chunks_mut(part).enumerate());
        let take = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some((at, values)) = take() {
                let mut rng = Rng { used: 4, ..self.clone() };
                rng.counter[0] = (at * part / a_block) as u32; // which wraps, as counting does
                values.iter_mut().for_each(|v| *v = draw(&mut rng));
            }
        };
        std::thread::scope(|s| {
            for _ in 1..parts {
                if std::thread::Builder::new().spawn_scoped(s, work).is_err() {
                    break; // fewer threads draw the same
                }
            }
            work();
        });
        all
    }

    /// A random permutation of 0..n (Fisher–Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut p: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            p.swap(i, self.below(i + 1));
        }
        p
    }
}

/// In how many parts `n` numbers are drawn at once.
fn cores(n: usize) -> usize {
    if n < 2 * FEWEST_DRAWS {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, |cores| cores.get()).min(n / FEWEST_DRAWS)
}

/// A word as a float in [0, 1): its top 24 bits, exact in f32.
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (kat_vectors, philox4x32-10).
    #[test]
    fn philox_matches_random123() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn streams_differ_and_repeat() {
        let words = |seed, stream, counter| {
            let mut r = Rng::new(seed, stream, counter);
            [r.word(), r.word(), r.word(), r.word(), r.word()]
        };
        assert_eq!(words(1, 2, 3), words(1, 2, 3));
        assert_ne!(words(1, 2, 3), words(1, 2, 4));
        assert_ne!(words(1, 2, 3), words(1, 3, 3));
        assert_ne!(words(1, 2, 3), words(2, 2, 3));
    }

    /// Lengths that parts and blocks do not divide, and more parts than there are numbers.
    #[test]
    fn draws_in_parts_are_those_of_one() {
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let of = |n: usize, draw: fn(&mut Rng) -> f32| {
            let mut one = Rng::new(3, 9, 11);
            (0..n).map(|_| draw(&mut one)).collect::<Vec<f32>>()
        };
        for (words, draw) in [(1, Rng::uniform as fn(&mut Rng) -> f32), (2, Rng::normal)] {
            for n in [0, 1, 2, 7, 8, 61, 1000] {
                for parts in [1, 2, 3, 7, 16] {
                    let got = Rng::new(3, 9, 11).drawn(n, words, parts, draw);
                    assert_eq!(bits(&got), bits(&of(n, draw)), "{n} of {words} words in {parts} parts");
                }
            }
        }
        let n = 2 * FEWEST_DRAWS + 5;
        assert_eq!(bits(&Rng::new(3, 9, 11).normals(n)), bits(&of(n, Rng::normal)));
        assert_eq!(bits(&Rng::new(3, 9, 11).uniforms(n)), bits(&of(n, Rng::uniform)));
    }

    #[test]
    fn a_permutation_holds_every_index_and_moments_are_right() {
        let mut p = Rng::new(5, 0, 0).permutation(97);
        p.sort_unstable();
        assert_eq!(p, (0..97).collect::<Vec<_>>());
        let mut r = Rng::new(9, 1, 0);
        let n = 20_000;
        let x: Vec<f64> = (0..n).map(|_| r.normal() as f64).collect();
        let mean = x.iter().sum::<f64>() / n as f64;
        let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.05, "mean {mean}, variance {var}");
    }
}
