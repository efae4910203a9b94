//! JPEG files: this module reads markers, [`scan`] the coded data, and [`colour`] makes pixels of them.
//!
//! The pixels are those of libjpeg-turbo, bit for bit, on every machine: all of it is arithmetic of whole numbers. Damage that
//! decoders fill up silently is found in the same pass over the codes that gives the coefficients: every scan must
//! hold what the frame needs, and the scans must give every coefficient. A JPEG has no checksum, so damage that leaves
//! the same number of codes is not seen. The meaning of the components is decided as in libjpeg: by JFIF, then by
//! Adobe's segment, then by the ids of the components.
//!
//! Libraries were tried, and none serves. `zune-jpeg` 0.5.15 decodes 52 of 182 files of `tests/pictures` wrong (those
//! that stood there when it was tried), with colours of half the columns and rows among them, and panics for some. `jpeg-decoder` 0.3 starts a thread for each
//! component. Either reads all codes a second time.

mod bits;
mod colour;
mod frame;
mod idct;
mod rows;
mod scan;

use self::bits::Table;
use self::colour::Meaning;
use self::frame::Frame;
use self::idct::PLACE;
use self::scan::{Tables, walk};
use super::form::Mode;
use super::picture::{Limit, Picture};
use image::{DynamicImage, GrayImage, RgbImage, metadata::Orientation};

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
    let mut facts = read(bytes, limit)?;
    let meaning = facts.meaning(rgb);
    let frame = facts.frame.as_mut().ok_or("it ends before its first frame")?;
    frame.complete()?;
    frame.finish();
    let (width, height) = (frame.width as u32, frame.height as u32);
    let pixels = colour::picture(frame, meaning);
    let image = match meaning {
        Meaning::Gray => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    let image = image.ok_or("its pixels do not fit its frame header")?;
    let mut picture = Picture::new(image, facts.orientation.unwrap_or(Orientation::NoTransforms));
    if matches!(meaning, Meaning::Cmyk | Meaning::Ycck) {
        picture.form.mode = Mode::Cmyk;
    }
    // Only the end marker may be missing, because the scans are complete.
    picture.without_end = !facts.ended;
    Ok(picture)
}

impl Facts {
    /// What the components of the frame mean.
    fn meaning(&self, rgb: Option<bool>) -> Meaning {
        let ids: Vec<u8> = self.frame.iter().flat_map(|f| &f.components).map(|c| c.id).collect();
        match (ids.as_slice(), self.adobe) {
            ([] | [_], _) => Meaning::Gray,
            ([_, _, _], None) if rgb == Some(true) => Meaning::Rgb,
            ([_, _, _], None) if rgb == Some(false) => Meaning::YCbCr,
            ([_, _, _], _) if self.jfif => Meaning::YCbCr,
            ([_, _, _], Some(0)) => Meaning::Rgb,
            ([b'R', b'G', b'B'], None) => Meaning::Rgb,
            ([_, _, _], _) => Meaning::YCbCr,
            (_, None | Some(0)) => Meaning::Cmyk,
            _ => Meaning::Ycck,
        }
    }
}

/// Reads the whole file.
fn read(bytes: &[u8], limit: &Limit) -> Result<Facts, String> {
    let mut facts = Facts::default();
    let mut tables = Tables::default();
    let mut at = 2;
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
            0xDB => quantization(body, &mut tables)?,
            0xC3 | 0xC7 | 0xCB | 0xCF => return Err(format!("a lossless JPEG is not read; {SAVE}")),
            0xC9 | 0xCA | 0xCC | 0xCD | 0xCE => {
                return Err(format!("a JPEG with arithmetic coding is not read; {SAVE}"));
            }
            0xC5 | 0xC6 | 0xDE | 0xDF => return Err(format!("a hierarchical JPEG is not read; {SAVE}")),
            0xDC => return Err(format!("a JPEG with its height after its first scan is not read; {SAVE}")),
            0xDD => {
                let groups = body.try_into().map_err(|_| "its restart interval is cut")?;
                tables.restart = usize::from(u16::from_be_bytes(groups));
            }
            0xDA => {
                let frame = facts.frame.as_mut().ok_or("a scan comes before the frame header")?;
                at = walk(frame, &tables, body, bytes, at)?;
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
        let slot = tables.codes.get_mut(usize::from(class >> 4)).and_then(|t| t.get_mut(usize::from(class & 15)));
        *slot.ok_or_else(|| format!("a Huffman table has the number {class:#x}"))? = Some(Table::new(counts, values)?);
        body = &rest[16 + n..];
    }
    Ok(())
}

/// Reads quantization tables, of 8 or 16 bits each (B.2.4.1).
fn quantization(mut body: &[u8], tables: &mut Tables) -> Result<(), String> {
    while let [kind, rest @ ..] = body {
        let each = match kind >> 4 {
            0 => 1,
            1 => 2,
            _ => return Err(format!("a quantization table has the number {kind:#x}")),
        };
        let values = rest.get(..64 * each).ok_or("a quantization table is cut")?;
        let mut steps = [0; 64];
        for (&place, value) in PLACE.iter().zip(values.chunks_exact(each)) {
            steps[usize::from(place)] = value.iter().fold(0, |all, &byte| all << 8 | u16::from(byte));
        }
        let slot = tables.steps.get_mut(usize::from(kind & 15));
        *slot.ok_or_else(|| format!("a quantization table has the number {kind:#x}"))? = Some(steps);
        body = &rest[64 * each..];
    }
    Ok(())
}
