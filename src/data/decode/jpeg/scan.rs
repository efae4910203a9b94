//! The scans of a JPEG: their coefficients, and whether they hold what the frame needs.
//!
//! Decoders fill up a scan that ends early and skip surplus data, so a cut or overwritten file gives another picture
//! without an error. Here both are errors. Names and figures are those of ITU-T T.81.

use super::bits::{Bits, Table, Wrong, extended};
use super::frame::{Frame, UNTOLD};
use super::idct::{Block, PLACE, inverse};

/// The most scans of a progressive file. Encoders make about ten. A file with thousands is meant to take hours.
const MOST_SCANS: usize = 500;

/// What scans are read with.
#[derive(Default)]
pub struct Tables {
    /// Huffman codes, of DC and AC.
    pub codes: [[Option<Table>; 4]; 2],
    /// Steps of the coefficients, by their place in a block.
    pub steps: [Option<[u16; 64]>; 4],
    /// Groups of blocks between two restart markers; 0 without them.
    pub restart: usize,
}

/// The header of a scan: its coefficients, their bits, and the tables.
struct Scan<'t> {
    parts: Vec<Part<'t>>,
    first: usize,
    last: usize,
    /// The lowest bit that earlier scans gave (0 in a first scan), and the lowest bit that this scan gives.
    bits: (u8, u8),
}

/// A component in a scan.
struct Part<'t> {
    component: usize,
    dc: Option<&'t Table>,
    ac: Option<&'t Table>,
    /// The DC coefficient of its block before.
    before: i32,
}

/// Reads the scan whose `header` was read and whose data begins at `at`. Gives the place after the data.
pub fn walk(frame: &mut Frame, tables: &Tables, header: &[u8], bytes: &[u8], at: usize) -> Result<usize, String> {
    frame.scans += 1;
    if frame.scans > MOST_SCANS {
        return Err(format!("it has more than {MOST_SCANS} scans"));
    }
    let mut scan = parse(frame, tables, header)?;
    tell(frame, &scan)?;
    quantize(frame, &scan, tables)?;
    let mut bits = Bits::new(bytes, at);
    let alone = scan.parts.len() == 1;
    let groups = if alone { frame.components[scan.parts[0].component].blocks } else { frame.groups };
    let (mut run, mut left) = (0, tables.restart);
    let (mut block, mut restarts) = ([0; 64], 0u8);
    for row in 0..groups.1 {
        for column in 0..groups.0 {
            if tables.restart > 0 {
                if left == 0 {
                    bits.restart(restarts)?;
                    (run, left, restarts) = (0, tables.restart, (restarts + 1) % 8);
                    scan.parts.iter_mut().for_each(|part| part.before = 0);
                }
                left -= 1;
            }
            group(frame, &mut scan, &mut bits, (column, row), &mut block, &mut run)?;
        }
    }
    bits.end()?;
    // An encoder may put a restart marker after the last group, too.
    if tables.restart > 0 && matches!(bytes.get(bits.at..bits.at + 2), Some([0xFF, 0xD0..=0xD7])) {
        bits.at += 2;
    }
    Ok(bits.at)
}

/// The blocks of a group. `block` is of zeros, and is so again.
#[inline]
fn group(
    frame: &mut Frame,
    scan: &mut Scan,
    bits: &mut Bits,
    (column, row): (usize, usize),
    block: &mut Block,
    run: &mut u32,
) -> Result<(), Wrong> {
    let alone = scan.parts.len() == 1;
    let (first, last, (had, low)) = (scan.first, scan.last, scan.bits);
    for part in &mut scan.parts {
        let component = &mut frame.components[part.component];
        let (h, v) = if alone { (1, 1) } else { component.sampling };
        for block_of_group in 0..h * v {
            let (x, y) = (column * h + block_of_group % h, row * v + block_of_group / h);
            if let Some(kept) = component.coefficients.get_mut(y * component.stride + x) {
                match (first, had) {
                    (0, 0) => kept[0] = (first_coefficient(bits, part)? << low) as i16,
                    (0, _) => kept[0] |= (bits.take(1)? << low) as i16,
                    (_, 0) => others(bits, part.ac, (first, last, low), kept, run)?,
                    _ => refined(bits, part.ac, (first, last, low), kept, run)?,
                }
                continue;
            }
            let steps = component.quantization.1.as_ref().ok_or(NO_STEPS)?;
            let out = &mut component.samples[(y * component.stride * 8 + x) * 8..];
            let count = sequential(bits, part, steps, block)?;
            inverse(block, count, out, component.stride * 8);
            *block = [0; 64];
        }
    }
    Ok(())
}

fn parse<'t>(frame: &Frame, tables: &'t Tables, header: &[u8]) -> Result<Scan<'t>, String> {
    let n = usize::from(*header.first().unwrap_or(&0));
    if n == 0 || n > frame.components.len() || header.len() != 4 + 2 * n {
        return Err("a scan header has the wrong length".into());
    }
    let mut parts: Vec<Part> = Vec::with_capacity(n);
    for pair in header[1..1 + 2 * n].chunks_exact(2) {
        let at = frame.components.iter().position(|c| c.id == pair[0]);
        let at = at.ok_or_else(|| format!("a scan names the component {}, which is not in the frame", pair[0]))?;
        if parts.iter().any(|part| part.component == at) {
            return Err(format!("a scan names the component {} twice", pair[0]));
        }
        let table = |class: usize, k: u8| tables.codes[class].get(usize::from(k)).and_then(Option::as_ref);
        parts.push(Part { component: at, dc: table(0, pair[1] >> 4), ac: table(1, pair[1] & 15), before: 0 });
    }
    let [first, last, bits] = [header[1 + 2 * n], header[2 + 2 * n], header[3 + 2 * n]];
    let scan = if frame.progressive {
        Scan { parts, first: first.into(), last: last.into(), bits: (bits >> 4, bits & 15) }
    } else {
        Scan { parts, first: 0, last: 63, bits: (0, 0) }
    };
    let range = scan.first <= scan.last && scan.last < 64 && (scan.first > 0 || scan.last == 0 || !frame.progressive);
    if !range || (scan.first > 0 && n > 1) || scan.bits.1 > 13 {
        return Err(format!("a scan of {n} components gives the coefficients {first} to {last}, which is not allowed"));
    }
    Ok(scan)
}

/// Marks what a scan gives. Each bit of each coefficient must come once, the highest first.
fn tell(frame: &mut Frame, scan: &Scan) -> Result<(), String> {
    for part in &scan.parts {
        let component = &mut frame.components[part.component];
        for k in scan.first..=scan.last {
            let (had, from, to) = (component.told[k], scan.bits.0, scan.bits.1);
            let follows = if had == UNTOLD { from == 0 } else { from == had && from == to + 1 };
            if !follows || (k > 0 && frame.progressive && component.told[0] == UNTOLD) {
                return Err(format!("a scan gives coefficient {k} of component {} out of turn", part.component + 1));
            }
            component.told[k] = to;
        }
    }
    Ok(())
}

const NO_STEPS: Wrong = "a component has a quantization table that is not in the file";

/// Gives each component of its first scan its quantization table. A later table of that number is meant for others.
fn quantize(frame: &mut Frame, scan: &Scan, tables: &Tables) -> Result<(), String> {
    for part in &scan.parts {
        let (number, steps) = &mut frame.components[part.component].quantization;
        if steps.is_none() {
            *steps = *tables.steps.get(usize::from(*number)).ok_or(NO_STEPS)?;
            steps.ok_or(NO_STEPS)?;
        }
    }
    Ok(())
}

const NO_TABLE: Wrong = "a scan uses a Huffman table that is not in the file";

const TOO_MANY: Wrong = "a block holds more than 64 coefficients: the file is damaged";

/// All coefficients of a block, dequantized, into a block of zeros. Gives the number of those before the rest, which is zero.
#[inline]
fn sequential(bits: &mut Bits, part: &mut Part, steps: &[u16; 64], block: &mut Block) -> Result<usize, Wrong> {
    block[0] = (first_coefficient(bits, part)? as i16).wrapping_mul(steps[0] as i16);
    let ac = part.ac.ok_or(NO_TABLE)?;
    let (mut held, mut k) = (*bits, 1); // a copy may stay in registers
    while k < 64 {
        let (symbol, value) = held.number(ac)?;
        let zeros = usize::from(symbol >> 4);
        if symbol & 15 == 0 {
            if zeros == 15 {
                k += 16;
                continue;
            }
            break;
        }
        k += zeros;
        let place = usize::from(*PLACE.get(k).ok_or(TOO_MANY)?);
        block[place] = (value as i16).wrapping_mul(steps[place] as i16);
        k += 1;
    }
    *bits = held;
    if k > 64 { Err(TOO_MANY) } else { Ok(k) }
}

/// The high and low half of an AC symbol: how many zeros come first, and how many bits follow.
fn split(symbol: u8) -> (u32, u32) {
    (u32::from(symbol >> 4), u32::from(symbol & 15))
}

/// The DC coefficient of a block: the data hold its difference to the one before.
#[inline]
fn first_coefficient(bits: &mut Bits, part: &mut Part) -> Result<i32, Wrong> {
    let (size, difference) = bits.number(part.dc.ok_or(NO_TABLE)?)?;
    if size > 11 {
        return Err("a difference has more than 11 bits: the file is damaged");
    }
    part.before = part.before.wrapping_add(difference);
    Ok(part.before)
}

/// AC coefficients of a progressive scan from `first` to `last` whose lowest bit is `low` (G.1.2.2). `run` counts blocks
/// that have no more of them.
fn others(
    bits: &mut Bits,
    ac: Option<&Table>,
    (first, last, low): (usize, usize, u8),
    block: &mut Block,
    run: &mut u32,
) -> Result<(), Wrong> {
    let ac = ac.ok_or(NO_TABLE)?;
    let mut k = first;
    while k <= last && *run == 0 {
        let (symbol, value) = bits.number(ac)?;
        let (zeros, size) = split(symbol);
        if size == 0 && zeros < 15 {
            *run = (1 << zeros) + bits.take(zeros)?;
            break;
        }
        k += zeros as usize;
        if k > last {
            return Err(TOO_MANY);
        }
        block[usize::from(PLACE[k])] = (value << low) as i16; // 0 where 16 zeros were coded
        k += 1;
    }
    *run = run.saturating_sub(1);
    Ok(())
}

/// The bit `low` of those coefficients (G.1.2.3): of each that is not zero, and of new ones.
fn refined(
    bits: &mut Bits,
    ac: Option<&Table>,
    (first, last, low): (usize, usize, u8),
    block: &mut Block,
    run: &mut u32,
) -> Result<(), Wrong> {
    let ac = ac.ok_or(NO_TABLE)?;
    let mut k = first;
    while k <= last && *run == 0 {
        let (mut zeros, size) = split(bits.symbol(ac)?);
        if size == 0 && zeros < 15 {
            *run = (1 << zeros) + bits.take(zeros)?;
            break;
        }
        if size > 1 {
            return Err("a refinement has more than one bit: the file is damaged");
        }
        let new = extended(bits.take(size)?, size) << low;
        while k <= last {
            let value = &mut block[usize::from(PLACE[k])];
            if *value != 0 {
                refine(bits, value, low)?;
            } else if zeros == 0 {
                *value = new as i16;
                break;
            } else {
                zeros -= 1;
            }
            k += 1;
        }
        if k > last && size > 0 {
            return Err(TOO_MANY);
        }
        k += 1;
    }
    if *run > 0 {
        *run -= 1;
        for &place in PLACE.iter().take(last + 1).skip(k) {
            let value = &mut block[usize::from(place)];
            if *value != 0 {
                refine(bits, value, low)?;
            }
        }
    }
    Ok(())
}

/// A coefficient that is not zero, with its bit `low`.
fn refine(bits: &mut Bits, value: &mut i16, low: u8) -> Result<(), Wrong> {
    if bits.take(1)? == 1 && *value & (1 << low) == 0 {
        *value = value.wrapping_add(value.signum() << low);
    }
    Ok(())
}
