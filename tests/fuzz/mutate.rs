//! Turns small valid files into hostile ones. Bits flip. Ranges are removed, repeated or moved. Numbers become extreme.
//! Words of the format appear in unexpected places. A seed decides everything, so a case can be made again.

use wgslab::base::rng::Rng;

/// No case is larger. The readers are bounded for files below 10 MB, but copying must not take most of the time.
const LARGEST: usize = 1 << 20;

/// Whole numbers that are extreme as sizes, counts and offsets.
const EXTREMES: [u64; 18] = [
    0,
    1,
    2,
    7,
    127,
    128,
    255,
    256,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// What replaces a number in a text.
const NUMBERS: [&str; 24] = [
    "0",
    "-0",
    "-1",
    "1",
    "3",
    "255",
    "65536",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "1099511627776",
    "-9223372036854775808",
    "1e308",
    "1e400",
    "-1e-400",
    "0.1",
    "1.5",
    "nan",
    "inf",
    "0x7fffffff",
    "1_000",
];

/// A valid file in parts. The format joins the parts and writes lengths or checksums of its own, so a change inside a
/// part still passes those checks. A format without lengths and checksums has one part.
#[derive(Clone)]
pub struct Seed {
    pub parts: Vec<Vec<u8>>,
    pub join: fn(&[Vec<u8>]) -> Vec<u8>,
}

impl Seed {
    /// A file without checksums, as one part.
    pub fn whole(bytes: impl Into<Vec<u8>>) -> Seed {
        Seed { parts: vec![bytes.into()], join: |parts| parts.concat() }
    }

    pub fn file(&self) -> Vec<u8> {
        (self.join)(&self.parts)
    }
}

/// Case `index` of a run: one of the seeds, changed in one place or in several.
pub fn case(seeds: &[Seed], words: &[&str], run: u64, index: u64) -> Vec<u8> {
    let mut rng = Rng::new(run, 0x6675_7a7a, index); // "fuzz"
    let seed = &seeds[rng.below(seeds.len())];
    let other = &seeds[rng.below(seeds.len())];
    let changes = 1 + (0..8).take_while(|_| rng.below(2) == 0).count();
    // Half of the cases change parts, and the lengths and checksums are then made right again. The other half change
    // the bytes of the whole file.
    if rng.below(2) == 0 {
        let mut parts = seed.parts.clone();
        for _ in 0..changes {
            let at = rng.below(parts.len());
            match rng.below(16) {
                0 if parts.len() > 1 => drop(parts.remove(at)),
                1 => parts.insert(at, parts[at].clone()),
                2 => parts.insert(at, other.parts[rng.below(other.parts.len())].clone()),
                _ => change(&mut parts[at], &other.parts[at.min(other.parts.len() - 1)], words, &mut rng),
            }
        }
        return (seed.join)(&parts);
    }
    let (mut file, other) = (seed.file(), other.file());
    for _ in 0..changes {
        change(&mut file, &other, words, &mut rng);
    }
    file
}

/// A range of `bytes` that begins anywhere. Short ranges are more likely than long ones.
fn range(bytes: &[u8], rng: &mut Rng) -> std::ops::Range<usize> {
    if bytes.is_empty() {
        return 0..0;
    }
    let from = rng.below(bytes.len());
    let most = match rng.below(4) {
        0 => bytes.len(),
        1 => 64,
        _ => 8,
    };
    from..bytes.len().min(from + 1 + rng.below(most))
}

fn change(bytes: &mut Vec<u8>, other: &[u8], words: &[&str], rng: &mut Rng) {
    let at = |bytes: &[u8], rng: &mut Rng| rng.below(bytes.len() + 1);
    match rng.below(18) {
        0 | 1 if !bytes.is_empty() => {
            let i = rng.below(bytes.len());
            bytes[i] ^= 1 << rng.below(8);
        }
        2 if !bytes.is_empty() => {
            let i = rng.below(bytes.len());
            bytes[i] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', rng.word() as u8][rng.below(8)];
        }
        3 | 4 => number(bytes, rng),
        5 => bytes.truncate(at(bytes, rng)),
        6 => drop(bytes.drain(range(bytes, rng))),
        7 => {
            let piece = bytes[range(bytes, rng)].to_vec();
            insert(bytes, at(bytes, rng), &piece);
        }
        // Repeats a part many times, for deep nesting or a large count.
        8 => {
            let piece = bytes[range(bytes, rng)].to_vec();
            let doublings = if rng.below(8) == 0 { 17 } else { 9 };
            let times = 1 << rng.below(doublings);
            let times = times.min((LARGEST / 2) / piece.len().max(1));
            insert(bytes, at(bytes, rng), &piece.repeat(times));
        }
        9 => {
            let range = range(other, rng);
            insert(bytes, at(bytes, rng), &other[range]);
        }
        10 => {
            let random: Vec<u8> = (0..1 + rng.below(16)).map(|_| rng.word() as u8).collect();
            insert(bytes, at(bytes, rng), &random);
        }
        11 => {
            let value = [0, 0xff][rng.below(2)];
            let range = range(bytes, rng);
            bytes[range].fill(value);
        }
        12 | 13 if !words.is_empty() => {
            let word = words[rng.below(words.len())];
            let from = at(bytes, rng);
            match rng.below(2) {
                0 => insert(bytes, from, word.as_bytes()),
                _ => overwrite(bytes, from, word.as_bytes()),
            }
        }
        _ => digits(bytes, rng),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if bytes.len() + piece.len() <= LARGEST {
        bytes.splice(at..at, piece.iter().copied());
    }
}

fn overwrite(bytes: &mut [u8], at: usize, piece: &[u8]) {
    let n = piece.len().min(bytes.len() - at);
    bytes[at..at + n].copy_from_slice(&piece[..n]);
}

/// Replaces a binary number by an extreme one, or by one that differs from it by one.
fn number(bytes: &mut [u8], rng: &mut Rng) {
    let width = 1 << rng.below(4);
    if bytes.len() < width {
        return;
    }
    let at = rng.below(bytes.len() - width + 1);
    let near = [0, 1, u64::MAX][rng.below(3)];
    let value = EXTREMES[rng.below(EXTREMES.len())].wrapping_add(near);
    let mut written = value.to_le_bytes()[..width].to_vec();
    if rng.below(2) == 0 {
        written.reverse();
    }
    bytes[at..at + width].copy_from_slice(&written);
}

/// Replaces a number in a text by another one.
fn digits(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let start = rng.below(bytes.len());
    let Some(from) = bytes[start..].iter().position(u8::is_ascii_digit).map(|i| start + i) else { return };
    let is_number = |b: &u8| b.is_ascii_digit() || b".-+eE".contains(b);
    let to = from + bytes[from..].iter().take_while(|b| is_number(b)).count();
    bytes.splice(from..to, NUMBERS[rng.below(NUMBERS.len())].bytes());
}
