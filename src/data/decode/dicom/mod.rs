//! DICOM images, of several frames the first: uncompressed, deflated, run lengths, and JPEG of 8 bits.
//!
//! `dicom-parser` reads the elements ([`elements`]), [`rle`] and the JPEG reader beside this folder read compressed
//! pixels. A gray picture goes through rescale, window or VOI LUT, and MONOCHROME1 as PS3.3 says ([`tone`]), so that it
//! looks as on a viewer. The size of a pixel is not used.

mod elements;
mod lut;
mod palette;
mod rle;
#[cfg(test)]
mod tests;
mod tone;

use super::form::{Mode, PixelForm};
use super::jpeg;
use super::limit::Limit;
use super::picture::{Picture, Remark};
use elements::{Coding, Due, Elements};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use palette::Palette;
use tone::Tone;

/// Whether a file begins as DICOM does: 128 bytes of anything, then DICM.
pub fn begins(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// How the samples of a pixel are to be understood (PS3.3, C.7.6.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Color {
    /// Gray; true where the smallest value is white.
    Gray(bool),
    Rgb,
    /// Luma and two colour differences, for each pixel.
    Ybr,
    /// The same, with the differences of two neighbours stored once.
    Ybr422,
    /// The place in three tables.
    Palette,
}

/// The form of a picture's samples.
#[derive(Clone, Copy, Debug)]
struct Form {
    rows: usize,
    columns: usize,
    color: Color,
    /// Bytes of a sample.
    bytes: usize,
    /// Bits of a sample that count, the lowest ones.
    stored: u32,
    signed: bool,
    /// Whether all red samples come first.
    planar: bool,
    big_endian: bool,
    frames: u64,
}

impl Form {
    fn of(e: &Elements, coding: Coding) -> Result<Self, String> {
        let need = |tag, name: &str| e.short(tag).ok_or_else(|| format!("it has no {name}"));
        let frames = e.decimal(elements::FRAMES, "NumberOfFrames")?.unwrap_or(1.0);
        if frames < 1.0 || frames.fract() != 0.0 || frames > f64::from(u32::MAX) {
            return Err(format!("its NumberOfFrames is {frames}, and a picture has one frame or more"));
        }
        let photometric = e.text(elements::PHOTOMETRIC).ok_or("it has no PhotometricInterpretation")?;
        let samples = e.short(elements::SAMPLES).unwrap_or(1);
        let color = match (photometric.as_str(), samples) {
            ("MONOCHROME1", 1) => Color::Gray(true),
            ("MONOCHROME2", 1) => Color::Gray(false),
            ("RGB", 3) => Color::Rgb,
            ("YBR_FULL", 3) => Color::Ybr,
            // Run lengths and JPEG give each pixel its own colour.
            ("YBR_FULL_422", 3) if coding == Coding::Plain => Color::Ybr422,
            ("YBR_FULL_422", 3) => Color::Ybr,
            ("PALETTE COLOR", 1) if coding != Coding::Jpeg => Color::Palette,
            (other, n) => {
                let other: String = other.chars().take(32).collect();
                return Err(format!(
                    "the PhotometricInterpretation {other} with {n} samples is not read; save it as MONOCHROME2 or RGB"
                ));
            }
        };
        let (allocated, stored) = (need(elements::ALLOCATED, "BitsAllocated")?, need(elements::STORED, "BitsStored")?);
        let gray = matches!(color, Color::Gray(_));
        if !(matches!(allocated, 8 | 16) || allocated == 32 && gray) {
            return Err(format!("samples of {allocated} bits (BitsAllocated) are not read; save it with 8 or 16"));
        }
        let high = e.short(elements::HIGH_BIT).unwrap_or(stored.saturating_sub(1));
        if !(1..=allocated).contains(&stored) || high.checked_add(1) != Some(stored) {
            return Err(format!(
                "its samples have {stored} of {allocated} bits and end at bit {high}; the lowest bits must be the ones stored"
            ));
        }
        let signed = e.short(elements::SIGNED) == Some(1);
        if signed && !gray || matches!(color, Color::Ybr | Color::Ybr422) && (allocated, stored) != (8, 8) {
            return Err(format!("{photometric} of {stored} bits{} is not read", if signed { ", signed," } else { "" }));
        }
        let (rows, columns) = (need(elements::ROWS, "Rows")?.into(), need(elements::COLUMNS, "Columns")?.into());
        if rows == 0 || columns == 0 || color == Color::Ybr422 && columns % 2 != 0 {
            return Err(format!("its size is {columns}×{rows} pixels, which {photometric} cannot have"));
        }
        let (bytes, big_endian) = (usize::from(allocated / 8), e.big_endian);
        let frames = frames as u64;
        let planar = !gray && e.short(elements::PLANAR) == Some(1) && coding == Coding::Plain;
        Ok(Form { rows, columns, color, bytes, stored: stored.into(), signed, planar, big_endian, frames })
    }

    fn samples(&self) -> usize {
        if matches!(self.color, Color::Gray(_) | Color::Palette) { 1 } else { 3 }
    }

    /// What is due of the pixels.
    fn due(&self) -> Due {
        let pixels = self.rows as u64 * self.columns as u64;
        let bytes =
            if self.color == Color::Ybr422 { 2 * pixels } else { pixels * self.samples() as u64 * self.bytes as u64 };
        Due { bytes, frames: self.frames }
    }

    /// How its pixels are stored, for people.
    fn stored_as(&self) -> PixelForm {
        let mode = match self.color {
            Color::Gray(_) => Mode::Gray,
            Color::Palette => Mode::Palette,
            Color::Rgb | Color::Ybr | Color::Ybr422 => Mode::Rgb,
        };
        PixelForm::whole(mode, self.stored)
    }

    /// The value of a sample (PS3.5, 8.1.1).
    fn value(&self, sample: &[u8]) -> i64 {
        let join = |n: u64, b: &u8| n << 8 | u64::from(*b);
        let all = if self.big_endian { sample.iter().fold(0, join) } else { sample.iter().rev().fold(0, join) };
        let value = (all & ((1 << self.stored) - 1)) as i64;
        if self.signed && value >> (self.stored - 1) == 1 { value - (1 << self.stored) } else { value }
    }
}

/// Reads a file that begins as DICOM does.
pub fn decode(bytes: &[u8], limit: &Limit) -> Result<Picture, String> {
    let ready = |e: &Elements, coding| {
        let form = Form::of(e, coding)?;
        limit.check(form.columns as u64, form.rows as u64)?;
        Ok(form.due())
    };
    let (e, pixels) = elements::read(bytes, &ready)?;
    let mut form = Form::of(&e, pixels.coding)?;
    let plain = match pixels.coding {
        Coding::Plain => pixels.bytes,
        Coding::Rle => {
            form.big_endian = false;
            rle::decode(&pixels.bytes, form.rows * form.columns, form.samples(), form.bytes)?
        }
        Coding::Jpeg => from_jpeg(&pixels.bytes, &mut form, limit)?,
    };
    let mut remarks = Vec::new();
    let (width, height) = (form.columns as u32, form.rows as u32);
    let image = match form.color {
        Color::Gray(inverted) => {
            let tone = Tone::of(&e, inverted)?;
            let values = plain.chunks_exact(form.bytes).map(|sample| form.value(sample));
            remarks.extend(tone.pads(values.clone()).then_some(Remark::Padded));
            let (levels, stretched) = tone.levels(values, (form.stored <= 8 && !form.signed).then_some(form.stored));
            remarks.extend(stretched.then_some(Remark::Stretched));
            GrayImage::from_raw(width, height, levels).map(DynamicImage::from)
        }
        Color::Palette => {
            let palette = Palette::of(&e)?;
            let pixels = plain.chunks_exact(form.bytes).flat_map(|sample| palette.rgb(form.value(sample))).collect();
            RgbImage::from_raw(width, height, pixels).map(DynamicImage::from)
        }
        _ => RgbImage::from_raw(width, height, colors(&form, &plain)).map(DynamicImage::from),
    };
    let image = image.ok_or("its pixels do not fit its size")?;
    if [elements::SPACING, elements::IMAGER_SPACING, elements::ASPECT].into_iter().any(|tag| e.has(tag)) {
        remarks.push(Remark::Spacing);
    }
    let mut picture = Picture::new(image, Orientation::NoTransforms);
    (picture.remarks, picture.patient) = (remarks, e.text(elements::PATIENT_ID));
    (picture.several, picture.form) = (form.frames > 1, form.stored_as());
    Ok(picture)
}

/// The samples of a JPEG, which gives colours as red, green and blue.
fn from_jpeg(bytes: &[u8], form: &mut Form, limit: &Limit) -> Result<Vec<u8>, String> {
    if form.stored != 8 || form.bytes != 1 {
        return Err(format!(
            "its JPEG holds samples of {} of {} bits, and those of 8 are read; `dcmdjpeg` saves it uncompressed",
            form.stored,
            8 * form.bytes
        ));
    }
    let image = jpeg::decode_as(bytes, limit, form.color == Color::Rgb)?.image;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let samples = usize::from(image.color().channel_count());
    if (width, height, samples) != (form.columns, form.rows, form.samples()) {
        return Err(format!(
            "its JPEG has {width}×{height} pixels of {samples} samples, and its elements say {}×{} of {}",
            form.columns,
            form.rows,
            form.samples()
        ));
    }
    if samples == 3 {
        form.color = Color::Rgb;
    }
    form.planar = false;
    Ok(image.into_bytes())
}

/// The pixels of a colour picture as bytes of red, green and blue.
fn colors(form: &Form, plain: &[u8]) -> Vec<u8> {
    if form.color == Color::Ybr422 {
        let two = |p: &[u8]| [rgb([p[0], p[2], p[3]]), rgb([p[1], p[2], p[3]])].concat();
        return plain.chunks_exact(4).flat_map(two).collect();
    }
    let top = (1u64 << form.stored) - 1;
    let byte = |sample: &[u8]| ((form.value(sample) as u64 * 255 + top / 2) / top) as u8;
    let (n, pixels) = (form.bytes, form.rows * form.columns);
    let at = |pixel: usize, i: usize| {
        let place = if form.planar { i * pixels + pixel } else { 3 * pixel + i };
        byte(&plain[n * place..n * (place + 1)])
    };
    let pixel = |p| [at(p, 0), at(p, 1), at(p, 2)];
    match form.color {
        Color::Ybr => (0..pixels).flat_map(|p| rgb(pixel(p))).collect(),
        _ => (0..pixels).flat_map(pixel).collect(),
    }
}

/// Luma and colour differences as red, green and blue: the inverse of PS3.3, C.7.6.3.1.2, rounded to the nearest.
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
    let green = y - 0.114 * 1.772 / 0.587 * cb - 0.299 * 1.402 / 0.587 * cr;
    [y + 1.402 * cr, green, y + 1.772 * cb].map(|v| (v + 0.5).floor().clamp(0.0, 255.0) as u8)
}
