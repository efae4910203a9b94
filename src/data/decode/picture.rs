//! One picture file: its kind, its header and its pixels. The content decides the kind, not the ending.

use super::flatten::{Alpha, flatten};
use super::form::{Mode, PixelForm};
use super::{Raw, blocks, dicom, jpeg, tiff, tiff_float, tiff_jpeg};
use crate::base::contained;
use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, tiff::TiffDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, Limits};
use std::io::Cursor;
use std::path::Path;

pub use super::limit::{Gate, Limit};

/// The kinds of files that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Baseline, extended and progressive JPEG.
    Jpeg,
    /// PNG of every colour type; the default picture of an animation.
    Png,
    /// TIFF and BigTIFF; the first page.
    Tiff,
    /// Windows bitmap.
    Bmp,
    /// WebP; the first frame.
    WebP,
    /// GIF; the first frame.
    Gif,
    /// DICOM; the first frame.
    Dicom,
}

/// The endings of the files that are read, in lower case.
pub const ENDINGS: [(&str, Kind); 13] = [
    ("jpg", Kind::Jpeg),
    ("jpeg", Kind::Jpeg),
    ("jpe", Kind::Jpeg),
    ("jfif", Kind::Jpeg),
    ("jif", Kind::Jpeg),
    ("png", Kind::Png),
    ("tif", Kind::Tiff),
    ("tiff", Kind::Tiff),
    ("bmp", Kind::Bmp),
    ("webp", Kind::WebP),
    ("gif", Kind::Gif),
    ("dcm", Kind::Dicom),
    ("dicom", Kind::Dicom),
];

impl Kind {
    /// The kind that the ending names, in any case.
    pub fn of_ending(path: &Path) -> Option<Self> {
        let ending = path.extension()?;
        ENDINGS.iter().find(|(e, _)| ending.eq_ignore_ascii_case(e)).map(|(_, kind)| *kind)
    }

    /// The kind that the first bytes name. The bytes of a DICOM file before its mark may be those of another kind.
    fn of_content(bytes: &[u8]) -> Option<Self> {
        match bytes {
            _ if dicom::begins(bytes) => Some(Kind::Dicom),
            [0xFF, 0xD8, ..] => Some(Kind::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Kind::Png),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Kind::Tiff),
            [b'B', b'M', ..] => Some(Kind::Bmp),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Kind::WebP),
            [b'G', b'I', b'F', b'8', ..] => Some(Kind::Gif),
            _ => None,
        }
    }

    /// The name for messages.
    pub fn name(self) -> &'static str {
        ["JPEG", "PNG", "TIFF", "BMP", "WebP", "GIF", "DICOM"][self as usize]
    }
}

/// What the user should know about how a picture was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// A JPEG in which only the end marker is missing.
    WithoutEnd,
    /// More than one page or frame.
    Frames(Kind),
    /// Another kind than the ending names.
    Ending(Kind),
    /// Samples of 16 bits, with the highest level.
    Deep(u16),
    /// Colours that are made gray.
    Colour,
    /// Values from the smallest to the largest, because a DICOM file has no window.
    Stretched,
    /// Values of a DICOM file that are no part of the picture.
    Padded,
    /// The size of a pixel, which is not used.
    Spacing,
}

impl Remark {
    /// Whether two remarks belong in one note.
    pub fn same_kind(&self, other: &Remark) -> bool {
        matches!((self, other), (Remark::Deep(_), Remark::Deep(_))) || self == other
    }
}

/// A picture as it is stored next, what the user should know of it, and its patient if its file names one.
pub struct Opened {
    /// 1 or 3 channels of bytes, upright.
    pub raw: Raw,
    /// How it was read.
    pub remarks: Vec<Remark>,
    /// The patient's id.
    pub patient: Option<String>,
    /// How the file stores its pixels.
    pub form: PixelForm,
}

/// A decoded picture that is not turned upright yet.
pub struct Picture {
    /// Its pixels.
    pub image: DynamicImage,
    orientation: Orientation,
    /// The meaning of its fourth sample.
    pub alpha: Alpha,
    /// Whether only its end marker is missing.
    pub without_end: bool,
    /// Whether it has more than one page or frame.
    pub several: bool,
    /// What else the user should know.
    pub remarks: Vec<Remark>,
    /// The patient's id, where the format has one.
    pub patient: Option<String>,
    /// How the file stores its pixels.
    pub form: PixelForm,
}

impl Picture {
    /// A complete picture, the only one in its file, to be turned by `orientation`.
    pub fn new(image: DynamicImage, orientation: Orientation) -> Self {
        let (remarks, patient, form) = (Vec::new(), None, PixelForm::of(&image));
        Picture {
            image,
            orientation,
            alpha: Alpha::Straight,
            without_end: false,
            several: false,
            remarks,
            patient,
            form,
        }
    }
}

/// Whether the file at `path` is DICOM by its content. Scanners often give no ending, or a number after a point.
pub fn is_dicom(path: &Path) -> bool {
    // Opening a pipe would wait.
    let regular = path.metadata().is_ok_and(|m| m.is_file());
    let mut head = [0; 132];
    let read = |mut file: std::fs::File| std::io::Read::read_exact(&mut file, &mut head);
    regular && std::fs::File::open(path).and_then(read).is_ok() && dicom::begins(&head)
}

/// Reads the content of a file whose ending names the kind `promised`: 1 or 3 channels of bytes, upright, with remarks.
/// `bits` is the bit depth of 16-bit files.
pub fn read(bytes: &[u8], promised: Option<Kind>, channels: usize, bits: u32, limit: &Limit) -> Result<Opened, String> {
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    let kind = Kind::of_content(bytes).ok_or_else(|| unknown(promised))?;
    let mut remarks = Vec::new();
    // The files of scanners have no ending that names a kind.
    if promised != Some(kind) && (promised.is_some() || kind != Kind::Dicom) {
        remarks.push(Remark::Ending(kind));
    }
    let stopped = |words| format!("it cannot be read, and the reader stopped with: {words}");
    let picture = contained(|| decode(bytes, kind, limit))
        .map_err(stopped)
        .and_then(|read| read)
        .map_err(|why| format!("{}: {why}", kind.name()))?;
    if picture.without_end {
        remarks.push(Remark::WithoutEnd);
    }
    if picture.several {
        remarks.push(Remark::Frames(kind));
    }
    remarks.extend(picture.remarks);
    let (orientation, patient, form) = (picture.orientation, picture.patient, picture.form);
    let (raw, facts) = flatten(picture.image, channels, picture.alpha, bits)?;
    remarks.extend(facts.highest.map(Remark::Deep));
    remarks.extend(facts.made_gray.then_some(Remark::Colour));
    Ok(Opened { raw: raw.turned(orientation)?, remarks, patient, form })
}

/// What is wrong with a file whose first bytes name no kind.
fn unknown(promised: Option<Kind>) -> String {
    match promised {
        Some(Kind::Dicom) => {
            "it ends like DICOM, but has no DICM after its first 128 bytes; `dcmconv` or `gdcmconv` saves it as a DICOM file"
                .to_string()
        }
        _ => "its content is not JPEG, PNG, TIFF, BMP, WebP, GIF or DICOM".to_string(),
    }
}

fn decode(bytes: &[u8], kind: Kind, limit: &Limit) -> Result<Picture, String> {
    let source = Cursor::new(bytes);
    let failed = |e: image::ImageError| e.to_string();
    match kind {
        Kind::Jpeg => jpeg::decode(bytes, limit),
        Kind::Dicom => dicom::decode(bytes, limit),
        Kind::Png => {
            let mut allowed = Limits::no_limits();
            allowed.max_alloc = Some(1 << 26); // for text and profiles; another limit covers pixels
            let decoder = PngDecoder::with_limits(source, allowed).map_err(failed)?;
            let several = decoder.is_apng().map_err(failed)?;
            let orientation = blocks::png_orientation(bytes)?.unwrap_or(Orientation::NoTransforms);
            let picture = pixels(decoder, limit)?;
            Ok(Picture { several, orientation, form: PixelForm::of_png(bytes, picture.form), ..picture })
        }
        Kind::Tiff => {
            let facts = tiff::facts(bytes)?;
            let picture = match facts.samples {
                tiff::Samples::Whole => pixels(TiffDecoder::new(source).map_err(failed)?, limit)?,
                tiff::Samples::Float => Picture::new(tiff_float::decode(bytes, &facts, limit)?, facts.orientation),
                tiff::Samples::Jpeg => Picture::new(tiff_jpeg::decode(bytes, limit)?, facts.orientation),
            };
            Ok(Picture { alpha: facts.alpha, several: facts.several, form: facts.form(), ..picture })
        }
        Kind::Bmp => {
            let picture = pixels(BmpDecoder::new(source).map_err(failed)?, limit)?;
            Ok(Picture { form: PixelForm::of_bmp(bytes, picture.form), ..picture })
        }
        Kind::WebP => {
            let (width, height) = blocks::webp_frame(bytes)?;
            limit.check(width, height)?; // a frame may be larger than the canvas
            let decoder = WebPDecoder::new(source).map_err(failed)?;
            let several = decoder.has_animation();
            Ok(Picture { several, ..pixels(decoder, limit)? })
        }
        Kind::Gif => {
            let several = blocks::gif_frames(bytes)? > 1;
            let form = PixelForm::whole(Mode::Palette, 8);
            Ok(Picture { several, form, ..pixels(GifDecoder::new(source).map_err(failed)?, limit)? })
        }
    }
}

/// The pixels from a decoder of the image library, if its header is within the limit.
fn pixels(mut decoder: impl ImageDecoder, limit: &Limit) -> Result<Picture, String> {
    let (width, height) = decoder.dimensions();
    limit.check(width.into(), height.into())?;
    let mut allowed = Limits::no_limits();
    // The pixels exist twice, as samples of the file and as the output. Tables need a little more.
    allowed.max_alloc = Some(decoder.total_bytes().saturating_mul(2).saturating_add(1 << 26));
    decoder.set_limits(allowed).map_err(|e| e.to_string())?;
    let orientation = decoder.orientation().map_err(|e| e.to_string())?;
    let image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    Ok(Picture::new(image, orientation))
}
