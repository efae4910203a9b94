//! Turns samples into bytes: 16 bits to 8, transparency over black, colour to gray.

use super::Raw;
use image::DynamicImage;

/// The meaning of the fourth sample of a pixel, or of the second sample of a gray pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpha {
    /// A share of the colour. The picture is blended over black.
    Straight,
    /// A share by which the colours are already multiplied, or a sample whose meaning is not stated.
    Done,
}

/// What was found on the way.
pub struct Facts {
    /// The highest level of a picture of 16 bits.
    pub highest: Option<u16>,
    /// Whether colours were made gray.
    pub made_gray: bool,
}

/// Rec. 601 luma in the fixed point of Pillow's `L`, so that gray pictures equal those of torchvision.
pub fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
}

/// A picture as 8-bit gray (1) or red, green and blue (3), each level rounded to the nearest.
///
/// A sample of 16 bits is a share of 2^`bits` − 1. A transparent picture is blended over black.
pub fn flatten(image: DynamicImage, channels: usize, alpha: Alpha, bits: u32) -> Result<(Raw, Facts), String> {
    let made_gray = channels == 1 && has_colour(&image);
    let (width, height) = (image.width() as usize, image.height() as usize);
    let raw = |pixels| Raw { height, width, channels, pixels };
    let top = (1u32 << bits) - 1;
    let (pixels, highest) = match image {
        DynamicImage::ImageLuma8(i) => (gray(i.into_raw(), channels), None),
        DynamicImage::ImageRgb8(i) => (color(i.into_raw(), channels), None),
        DynamicImage::ImageLumaA8(i) => (mix::<1, 2, u8>(&i.into_raw(), channels, alpha, 255).0, None),
        DynamicImage::ImageRgba8(i) => (mix::<3, 4, u8>(&i.into_raw(), channels, alpha, 255).0, None),
        DynamicImage::ImageLuma16(i) => deep::<1, 1>(&i.into_raw(), channels, alpha, top)?,
        DynamicImage::ImageRgb16(i) => deep::<3, 3>(&i.into_raw(), channels, alpha, top)?,
        DynamicImage::ImageLumaA16(i) => deep::<1, 2>(&i.into_raw(), channels, alpha, top)?,
        DynamicImage::ImageRgba16(i) => deep::<3, 4>(&i.into_raw(), channels, alpha, top)?,
        _ => {
            return Err(
                "floating-point samples have no stated range and are not read; save it with 8 or 16 bits".into()
            );
        }
    };
    Ok((raw(pixels), Facts { highest, made_gray }))
}

/// Whether a pixel is not gray. A gray picture may be stored with three equal samples.
fn has_colour(image: &DynamicImage) -> bool {
    fn any<T: PartialEq>(samples: &[T], each: usize) -> bool {
        samples.chunks_exact(each).any(|p| p[0] != p[1] || p[1] != p[2])
    }
    match image {
        DynamicImage::ImageRgb8(i) => any(i.as_raw(), 3),
        DynamicImage::ImageRgba8(i) => any(i.as_raw(), 4),
        DynamicImage::ImageRgb16(i) => any(i.as_raw(), 3),
        DynamicImage::ImageRgba16(i) => any(i.as_raw(), 4),
        _ => false,
    }
}

fn gray(pixels: Vec<u8>, channels: usize) -> Vec<u8> {
    if channels == 1 { pixels } else { pixels.iter().flat_map(|&v| [v; 3]).collect() }
}

fn color(pixels: Vec<u8>, channels: usize) -> Vec<u8> {
    if channels == 3 { pixels } else { pixels.chunks_exact(3).map(|p| luma(p[0], p[1], p[2])).collect() }
}

fn deep<const COLORS: usize, const SAMPLES: usize>(
    samples: &[u16],
    channels: usize,
    alpha: Alpha,
    top: u32,
) -> Result<(Vec<u8>, Option<u16>), String> {
    let (pixels, highest) = mix::<COLORS, SAMPLES, u16>(samples, channels, alpha, top);
    if highest > top {
        return Err(format!("it holds the level {highest}, but data.bit_depth says that none is above {top}"));
    }
    Ok((pixels, Some(highest as u16)))
}

/// Pixels of `SAMPLES` samples, of which `COLORS` are colours, as bytes. Also gives the highest level among all samples
/// except alpha.
fn mix<const COLORS: usize, const SAMPLES: usize, T: Copy + Into<u32>>(
    samples: &[T],
    channels: usize,
    alpha: Alpha,
    top: u32,
) -> (Vec<u8>, u32) {
    let mut out = Vec::with_capacity(samples.len() / SAMPLES * channels);
    let mut highest = 0;
    let top = u64::from(top);
    for pixel in samples.chunks_exact(SAMPLES) {
        let share = match alpha {
            Alpha::Straight if SAMPLES > COLORS => u64::from(pixel[COLORS].into()).min(top),
            _ => top,
        };
        let mut bytes = [0; COLORS];
        for (byte, &v) in bytes.iter_mut().zip(pixel) {
            let v: u32 = v.into();
            highest = highest.max(v);
            *byte = ((u64::from(v).min(top) * share * 255 + top * top / 2) / (top * top)) as u8;
        }
        match (bytes.as_slice(), channels) {
            ([v], 3) => out.extend([*v; 3]),
            ([r, g, b], 1) => out.push(luma(*r, *g, *b)),
            (bytes, _) => out.extend_from_slice(bytes),
        }
    }
    (out, highest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma, LumaA, Rgb, Rgba};

    fn of<P: image::Pixel + 'static>(samples: Vec<P::Subpixel>) -> ImageBuffer<P, Vec<P::Subpixel>> {
        ImageBuffer::from_raw((samples.len() / usize::from(P::CHANNEL_COUNT)) as u32, 1, samples).unwrap()
    }

    fn pixels(image: impl Into<DynamicImage>, channels: usize, bits: u32) -> Vec<u8> {
        flatten(image.into(), channels, Alpha::Straight, bits).unwrap().0.pixels
    }

    #[test]
    fn gray_is_pillows() {
        // Values from Pillow 13: Image.fromarray(...).convert("L").
        let rgb = vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 10, 200, 30, 1, 2, 3, 128, 127, 129];
        assert_eq!(pixels(of::<Rgb<u8>>(rgb), 1, 16), [76, 150, 29, 255, 124, 2, 128]);
    }

    #[test]
    fn sixteen_bits_are_rounded_to_the_nearest_level() {
        let levels: Vec<u16> = (0..=u16::MAX).collect();
        let nearest: Vec<u8> = levels.iter().map(|&v| (f64::from(v) / 257.0).round() as u8).collect();
        assert_eq!(pixels(of::<Luma<u16>>(levels), 1, 16), nearest);
        let levels: Vec<u16> = (0..4096).collect();
        let nearest: Vec<u8> = levels.iter().map(|&v| (f64::from(v) * 255.0 / 4095.0).round() as u8).collect();
        assert_eq!(pixels(of::<Luma<u16>>(levels), 1, 12), nearest);
        let high = DynamicImage::from(of::<Luma<u16>>(vec![0, 4096]));
        assert_eq!(flatten(high.clone(), 1, Alpha::Straight, 16).unwrap().1.highest, Some(4096));
        let said = flatten(high, 1, Alpha::Straight, 12).err().unwrap();
        assert!(said.contains("level 4096") && said.contains("above 4095"), "{said}");
    }

    #[test]
    fn transparency_is_laid_over_black() {
        assert_eq!(
            pixels(of::<Rgba<u8>>(vec![200, 100, 50, 0, 200, 100, 50, 255, 200, 100, 51, 128]), 3, 16),
            [0, 0, 0, 200, 100, 50, 100, 50, 26]
        );
        assert_eq!(pixels(of::<LumaA<u8>>(vec![200, 0, 200, 255, 201, 128]), 1, 16), [0, 200, 101]);
        assert_eq!(pixels(of::<LumaA<u16>>(vec![65535, 0, 65535, 32768]), 3, 16), [0, 0, 0, 128, 128, 128]);
        assert_eq!(pixels(of::<Rgba<u16>>(vec![65535, 0, 257, 65535]), 3, 16), [255, 0, 1]);
        let kept = flatten(of::<Rgba<u8>>(vec![200, 100, 50, 0]).into(), 3, Alpha::Done, 16).unwrap().0;
        assert_eq!(kept.pixels, [200, 100, 50]);
    }
}
