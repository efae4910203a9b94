//! JPEG files: this module reads markers and checks scans; `jpeg-decoder` makes the pixels.
//!
//! The decoder accepts damaged files, so a file is checked first: every scan must hold what the frame needs, and the
//! scans must give every coefficient. A JPEG has no checksum, so damage that leaves the same number of codes is not
//! seen. The meaning of the components is decided as in libjpeg: by JFIF, then by Adobe's segment, then by the ids of
//! the components. Pixels differ from libjpeg-turbo's by up to 3 levels; `tests/pictures/README.md` says why.

use super::entropy::{Frame, Table, Tables, walk};
use super::form::Mode;
use super::picture::{Limit, Picture};
use image::{DynamicImage, metadata::Orientation};
use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};
use std::io::Read;

/// The contents of the markers.
#[derive(Default)]
struct Facts {
    frame: Option<Frame>,
    jfif: bool,
    /// The colour transform of Adobe's segment.
    adobe: Option<u8>,
    orientation: Option<Orientation>,
    /// Whether there is an end marker.
    ended: bool,
}

/// Decodes a file, or says why it is not read.
pub fn decode(bytes: &[u8], limit: &Limit) -> Result<Picture, String> {
    decoded(bytes, limit, None)
}

/// Decodes a JPEG within another file, which says whether its three components are red, green and blue. Adobe's segment
/// alone has more weight.
pub fn decode_as(bytes: &[u8], limit: &Limit, rgb: bool) -> Result<Picture, String> {
    decoded(bytes, limit, Some(rgb))
}

fn decoded(bytes: &[u8], limit: &Limit, rgb: Option<bool>) -> Result<Picture, String> {
    let facts = read(bytes, limit)?;
    let frame = facts.frame.as_ref().ok_or("it ends before its first frame")?;
    frame.complete()?;
    let (width, height) = (frame.width as u32, frame.height as u32);
    // Only the end marker may be missing, because the check found the scans complete.
    let mut decoder = Decoder::new(bytes.chain([0xFF, 0xD9].as_slice()));
    decoder.set_color_transform(transform(frame, &facts, rgb));
    let pixels = decoder.decode().map_err(|e| e.to_string())?;
    let format = decoder.info().map(|i| i.pixel_format);
    let image = match format {
        Some(PixelFormat::L8) => image::GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8),
        Some(PixelFormat::RGB24) => image::RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8),
        Some(PixelFormat::CMYK32) => {
            image::RgbImage::from_raw(width, height, without_black(&pixels)).map(DynamicImage::ImageRgb8)
        }
        _ => None,
    };
    let image = image.ok_or("its pixels do not fit its frame header")?;
    let mut picture = Picture::new(image, facts.orientation.unwrap_or(Orientation::NoTransforms));
    if format == Some(PixelFormat::CMYK32) {
        picture.form.mode = Mode::Cmyk;
    }
    picture.without_end = !facts.ended;
    Ok(picture)
}

/// Cyan, magenta, yellow and black, 255 for full ink, as red, green and blue. The light that passes two inks is a
/// product, rounded as Pillow does.
fn without_black(inks: &[u8]) -> Vec<u8> {
    let times = |a: u8, b: u8| {
        let product = u32::from(a) * u32::from(b) + 128;
        ((product + (product >> 8)) >> 8) as u8
    };
    inks.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]].map(|ink| 255 - p[3] - times(ink, 255 - p[3]))).collect()
}

fn transform(frame: &Frame, facts: &Facts, rgb: Option<bool>) -> ColorTransform {
    let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
    match (ids.as_slice(), facts.adobe) {
        ([_], _) => ColorTransform::Grayscale,
        ([_, _, _], None) if rgb == Some(true) => ColorTransform::RGB,
        ([_, _, _], None) if rgb == Some(false) => ColorTransform::YCbCr,
        ([_, _, _], _) if facts.jfif => ColorTransform::YCbCr,
        ([_, _, _], Some(0)) => ColorTransform::RGB,
        ([b'R', b'G', b'B'], None) => ColorTransform::RGB,
        ([_, _, _], _) => ColorTransform::YCbCr,
        (_, None | Some(0)) => ColorTransform::CMYK,
        _ => ColorTransform::YCCK,
    }
}

/// Checks the whole file.
fn read(bytes: &[u8], limit: &Limit) -> Result<Facts, String> {
    let mut facts = Facts::default();
    let mut tables = Tables::default();
    let (mut restart, mut at) = (0, 2);
    while let Some(marker) = next_marker(bytes, &mut at)? {
        if marker == 0xD9 {
            facts.ended = true;
            break;
        }
        let body = segment(bytes, &mut at)?;
        match marker {
            0xC0..=0xC2 if facts.frame.is_some() => return Err("it has two frames".into()),
            0xC0..=0xC2 => facts.frame = Some(Frame::parse(body, marker == 0xC2, &|w, h| limit.check(w, h))?),
            0xC4 => huffman(body, &mut tables)?,
            0xC3 | 0xC7 | 0xCB | 0xCF => return Err(format!("a lossless JPEG is not read; {SAVE}")),
            0xC9 | 0xCA | 0xCC | 0xCD | 0xCE => {
                return Err(format!("a JPEG with arithmetic coding is not read; {SAVE}"));
            }
            0xC5 | 0xC6 | 0xDE | 0xDF => return Err(format!("a hierarchical JPEG is not read; {SAVE}")),
            0xDC => return Err(format!("a JPEG with its height after its first scan is not read; {SAVE}")),
            0xDD => {
                restart = usize::from(u16::from_be_bytes(body.try_into().map_err(|_| "its restart interval is cut")?))
            }
            0xDA => {
                let frame = facts.frame.as_mut().ok_or("a scan comes before the frame header")?;
                at = walk(frame, &tables, restart, body, bytes, at)?;
            }
            0xE0 if body.starts_with(b"JFIF\0") => facts.jfif = true,
            0xE1 if body.starts_with(b"Exif\0\0") && facts.orientation.is_none() => {
                facts.orientation = Orientation::from_exif_chunk(&body[6..]);
            }
            0xEE if body.starts_with(b"Adobe") && body.len() >= 12 => facts.adobe = Some(body[11]),
            _ => {}
        }
    }
    Ok(facts)
}

const SAVE: &str = "save it as a baseline JPEG or as PNG";

/// The next marker after any fill bytes. None at the end of the file.
fn next_marker(bytes: &[u8], at: &mut usize) -> Result<Option<u8>, String> {
    let rest = bytes.get(*at..).unwrap_or_default();
    let fill = rest.iter().take_while(|&&b| b == 0xFF).count();
    match rest.get(fill) {
        None => Ok(None),
        Some(0) => Err(format!("byte {at} is not a marker: the file is damaged")),
        Some(_) if fill == 0 => Err(format!("byte {at} is not a marker: the file is damaged")),
        Some(&marker) => {
            *at += fill + 1;
            Ok(Some(marker))
        }
    }
}

/// The body of the segment whose marker was read.
fn segment<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], String> {
    let cut = || format!("the segment at byte {at} is cut");
    let length = bytes.get(*at..*at + 2).ok_or_else(cut)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let body = bytes.get(*at + 2..*at + length.max(2)).ok_or_else(cut)?;
    if length < 2 {
        return Err(format!("the segment at byte {at} has an invalid length of {length} bytes"));
    }
    *at += length;
    Ok(body)
}

fn huffman(mut body: &[u8], tables: &mut Tables) -> Result<(), String> {
    while let [class, rest @ ..] = body {
        let counts = rest.get(..16).ok_or("a Huffman table is cut")?;
        let n: usize = counts.iter().map(|&c| usize::from(c)).sum();
        let values = rest.get(16..16 + n).ok_or("a Huffman table is cut")?;
        let slot = tables.get_mut(usize::from(class >> 4)).and_then(|t| t.get_mut(usize::from(class & 15)));
        *slot.ok_or_else(|| format!("a Huffman table has the number {class:#x}"))? = Some(Table::new(counts, values)?);
        body = &rest[16 + n..];
    }
    Ok(())
}
