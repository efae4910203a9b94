//! How a file stores its pixels: gray or colours, and how many bits a sample has.

use image::{ColorType, DynamicImage};
use std::fmt;

/// The samples of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// One level.
    Gray,
    /// A level and its transparency.
    GrayAlpha,
    /// Red, green and blue, however they are coded.
    Rgb,
    /// The same with transparency.
    Rgba,
    /// Inks.
    Cmyk,
    /// The place in a list of colours.
    Palette,
}

impl Mode {
    /// Its name in tables and JSON.
    pub fn name(self) -> &'static str {
        ["gray", "gray with alpha", "RGB", "RGBA", "CMYK", "palette"][self as usize]
    }
}

/// The form of the pixels of a file, before anything is made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PixelForm {
    /// The samples of a pixel.
    pub mode: Mode,
    /// Bits of a sample, those that count.
    pub bits: u32,
    /// Whether they are floating-point numbers.
    pub float: bool,
}

impl PixelForm {
    /// Whole numbers of so many bits.
    pub fn whole(mode: Mode, bits: u32) -> Self {
        PixelForm { mode, bits, float: false }
    }

    /// The form of decoded pixels, which is that of the file where its reader changes nothing.
    pub fn of(image: &DynamicImage) -> Self {
        let color = image.color();
        let mode = match color {
            ColorType::L8 | ColorType::L16 => Mode::Gray,
            ColorType::La8 | ColorType::La16 => Mode::GrayAlpha,
            ColorType::Rgba8 | ColorType::Rgba16 | ColorType::Rgba32F => Mode::Rgba,
            _ => Mode::Rgb,
        };
        let bits = 8 * u32::from(color.bytes_per_pixel() / color.channel_count());
        PixelForm { mode, bits, float: matches!(color, ColorType::Rgb32F | ColorType::Rgba32F) }
    }

    /// Of a PNG, by its first chunk. `decoded` where that is not whole.
    pub fn of_png(bytes: &[u8], decoded: Self) -> Self {
        let mode = match bytes.get(25) {
            Some(0) => Mode::Gray,
            Some(2) => Mode::Rgb,
            Some(3) => Mode::Palette,
            Some(4) => Mode::GrayAlpha,
            Some(6) => Mode::Rgba,
            _ => return decoded,
        };
        PixelForm::whole(mode, bytes[24].into())
    }

    /// Of a BMP: up to 8 bits of a pixel are a place in its list of colours.
    pub fn of_bmp(bytes: &[u8], decoded: Self) -> Self {
        let short = |at: usize| Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        // The first form of the header has 12 bytes, and its sizes two each.
        let bits = short(if short(14) == Some(12) { 24 } else { 28 });
        match bits {
            Some(bits @ 1..=8) => PixelForm::whole(Mode::Palette, bits.into()),
            _ => decoded,
        }
    }
}

impl fmt::Display for PixelForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.float { "-bit float" } else { "-bit" };
        write!(f, "{} {}{kind}", self.mode.name(), self.bits)
    }
}
