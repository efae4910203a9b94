//! What the components of a JPEG mean, and their colours as red, green and blue, to the bits of libjpeg's `jdcolor.c`.

use super::frame::Frame;
use super::rows::Rows;

/// The meaning of the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// One of gray.
    Gray,
    /// Red, green and blue.
    Rgb,
    /// Luma, and the differences of blue and red to it.
    YCbCr,
    /// Cyan, magenta, yellow and black, 0 for full ink.
    Cmyk,
    /// Black as there, and the light that the other inks leave as in `YCbCr`.
    Ycck,
}

/// The samples of a complete frame: gray, or red, green and blue.
pub fn picture(frame: &Frame, meaning: Meaning) -> Vec<u8> {
    let channels = if meaning == Meaning::Gray { 1 } else { 3 };
    let mut all: Vec<Rows> = frame.components.iter().map(|c| Rows::new(frame, c)).collect();
    let mut out = vec![0; frame.width * frame.height * channels];
    for y in 0..frame.height {
        let out = &mut out[y * frame.width * channels..];
        match (meaning, all.as_mut_slice()) {
            (Meaning::YCbCr, [luma, blue, red, ..]) => colours(luma.row(y), blue.row(y), red.row(y), out),
            (Meaning::Rgb, [red, green, blue, ..]) => side_by_side(red.row(y), green.row(y), blue.row(y), out),
            (Meaning::Cmyk, [c, m, yellow, k]) => {
                // What is stored is the light that an ink leaves: full ink is 0.
                side_by_side(c.row(y), m.row(y), yellow.row(y), out);
                darkened(k.row(y), out, |v| 255 - v);
            }
            (Meaning::Ycck, [luma, blue, red, k]) => {
                colours(luma.row(y), blue.row(y), red.row(y), out);
                darkened(k.row(y), out, |v| v);
            }
            (_, [gray, ..]) => out[..frame.width].copy_from_slice(gray.row(y)),
            (_, []) => {}
        }
    }
    out
}

fn side_by_side(red: &[u8], green: &[u8], blue: &[u8], out: &mut [u8]) {
    for (((out, &r), &g), &b) in out.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
        out.copy_from_slice(&[r, g, b]);
    }
}

/// Lays black over inks, 255 for full ink. The light that passes two inks is a product, rounded as Pillow does.
fn darkened(black: &[u8], inks: &mut [u8], ink: impl Fn(u8) -> u8) {
    let times = |a: u8, b: u8| {
        let product = u32::from(a) * u32::from(b) + 128;
        ((product + (product >> 8)) >> 8) as u8
    };
    for (inks, &light) in inks.chunks_exact_mut(3).zip(black) {
        inks.iter_mut().for_each(|v| *v = light - times(ink(*v), light));
    }
}

/// Pixels that are converted at once.
const AT_ONCE: usize = 32;

/// So many samples.
type Few<T> = [T; AT_ONCE];

/// A row in red, green and blue by JFIF's formula. `out` goes on with the rows below, whose first bytes may be changed.
fn colours(luma: &[u8], blue: &[u8], red: &[u8], out: &mut [u8]) {
    let (mut levels, mut pixels) = ([[0; AT_ONCE]; 3], [0; AT_ONCE]);
    for at in (0..luma.len()).step_by(AT_ONCE) {
        let few = (luma[at..].first_chunk(), blue[at..].first_chunk(), red[at..].first_chunk());
        if let (Some(luma), Some(blue), Some(red)) = few {
            convert(luma, blue, red, &mut levels);
            join(&levels, &mut pixels);
            write(&pixels, &mut out[3 * at..]);
            continue;
        }
        let few = [luma, blue, red].map(|samples| {
            let mut few = [0; AT_ONCE];
            few[..samples.len() - at].copy_from_slice(&samples[at..]);
            few
        });
        convert(&few[0], &few[1], &few[2], &mut levels);
        for (i, out) in out[3 * at..3 * luma.len()].chunks_exact_mut(3).enumerate() {
            out.copy_from_slice(&levels.map(|levels| levels[i]));
        }
    }
}

// Each of the next three alone becomes vector code, which all of them together do not: hence `inline(never)`.

/// Red, green and blue of pixels. The products have 16 bits behind the point. What exceeds 16 bits with its sign is a whole
/// number and a rest: 1.402 is 1 + 26345 / 65536.
#[inline(never)]
fn convert(y: &Few<u8>, cb: &Few<u8>, cr: &Few<u8>, levels: &mut [Few<u8>; 3]) {
    const HALF: i32 = 1 << 15;
    let times = |v: i16, c: i16| i32::from(v) * i32::from(c);
    let level = |v: i16| v.clamp(0, 255) as u8;
    for i in 0..AT_ONCE {
        let (y, cb, cr) = (i16::from(y[i]), i16::from(cb[i]) - 128, i16::from(cr[i]) - 128);
        levels[0][i] = level(y + cr + ((times(cr, 26345) + HALF) >> 16) as i16);
        levels[1][i] = level(y - cr + ((times(cb, -22554) + times(cr, 18734) + HALF) >> 16) as i16);
        levels[2][i] = level(y + 2 * cb + ((times(cb, -14942) + HALF) >> 16) as i16);
    }
}

/// Each pixel as one number, red lowest.
#[inline(never)]
fn join(levels: &[Few<u8>; 3], pixels: &mut Few<u32>) {
    for (i, pixel) in pixels.iter_mut().enumerate() {
        *pixel = u32::from(levels[0][i]) | u32::from(levels[1][i]) << 8 | u32::from(levels[2][i]) << 16;
    }
}

/// Writes three bytes of each pixel, two pixels at a time.
#[inline(never)]
fn write(pixels: &Few<u32>, out: &mut [u8]) {
    let pair = |i: usize| (u64::from(pixels[2 * i]) | u64::from(pixels[2 * i + 1]) << 24).to_le_bytes();
    // A pair has six bytes. Where there is room eight are written, of which the next pair writes two again.
    let Some(roomy) = out.first_chunk_mut::<{ 3 * AT_ONCE + 2 }>() else {
        out.chunks_exact_mut(6).enumerate().for_each(|(i, out)| out.copy_from_slice(&pair(i)[..6]));
        return;
    };
    for i in 0..AT_ONCE / 2 {
        if let Some(out) = roomy[6 * i..].first_chunk_mut() {
            *out = pair(i);
        }
    }
}
