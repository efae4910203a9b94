//! TIFF files of floating-point samples. Such samples have no stated range, so only those from 0 to 1 are read: shares of
//! white.

use super::flatten::Alpha;
use super::limit::Limit;
use super::tiff::Facts;
use image::{DynamicImage, GrayImage, RgbImage};
use std::io::Cursor;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};

/// Decodes a file to levels of 8 bits, blended over black where it is transparent.
pub fn decode(bytes: &[u8], facts: &Facts, limit: &Limit) -> Result<DynamicImage, String> {
    let failed = |e: tiff::TiffError| e.to_string();
    let mut file = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = file.dimensions().map_err(failed)?;
    limit.check(width.into(), height.into())?;
    let samples = match file.colortype().map_err(failed)? {
        ColorType::Gray(_) => 1,
        ColorType::RGB(_) => 3,
        ColorType::RGBA(_) => 4,
        other => return Err(format!("floating-point samples of {other:?} are not read; save it with 8 or 16 bits")),
    };
    let most = (width as usize).saturating_mul(height as usize).saturating_mul(8 * samples);
    let mut limits = Limits::default();
    (limits.decoding_buffer_size, limits.intermediate_buffer_size) = (most, most.saturating_add(1 << 26));
    let mut file = file.with_limits(limits);
    let levels = match file.read_image().map_err(failed)? {
        DecodingResult::F16(v) => levels(&v, |v| f64::from(*v), samples, facts),
        DecodingResult::F32(v) => levels(&v, |v| f64::from(*v), samples, facts),
        DecodingResult::F64(v) => levels(&v, |v| *v, samples, facts),
        _ => return Err("its samples are not of one kind".into()),
    }?;
    let image = match samples {
        1 => GrayImage::from_raw(width, height, levels).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, levels).map(DynamicImage::from),
    };
    image.ok_or_else(|| "its pixels do not fit its size".to_string())
}

/// The levels of pixels of `each` samples, of which a fourth is alpha.
fn levels<T>(samples: &[T], value: impl Fn(&T) -> f64, each: usize, facts: &Facts) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(samples.len() / each * each.min(3));
    for pixel in samples.chunks_exact(each) {
        if let Some(v) = pixel.iter().map(&value).find(|v| !(0.0..=1.0).contains(v)) {
            return Err(format!(
                "it holds the floating-point sample {v}, and only 0 (black) to 1 (white) is read; scale it to that"
            ));
        }
        let share = if each == 4 && facts.alpha == Alpha::Straight { value(&pixel[3]) } else { 1.0 };
        // Where 0 is white, the library has turned the samples round.
        out.extend(pixel.iter().take(3).map(|v| (value(v) * share * 255.0 + 0.5) as u8));
    }
    Ok(out)
}
