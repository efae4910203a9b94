//! The elements of a DICOM file that a picture needs (PS3.5 and PS3.10). They are read in the order of the file, so a
//! value that is not needed takes no memory, and the size of the picture is known before its pixels are read.

use super::lut::Lut;
use dicom_parser::StatefulDecode;
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};
use flate2::read::DeflateDecoder;
use std::collections::HashMap;
use std::io::{Cursor, Error, ErrorKind, Read, Seek, SeekFrom};

/// Group and element of a tag.
pub type Tag = (u16, u16);

pub const MODALITY: Tag = (0x0008, 0x0060);
pub const PATIENT_ID: Tag = (0x0010, 0x0020);
pub const IMAGER_SPACING: Tag = (0x0018, 0x1164);
pub const SAMPLES: Tag = (0x0028, 0x0002);
pub const PHOTOMETRIC: Tag = (0x0028, 0x0004);
pub const PLANAR: Tag = (0x0028, 0x0006);
pub const FRAMES: Tag = (0x0028, 0x0008);
pub const ROWS: Tag = (0x0028, 0x0010);
pub const COLUMNS: Tag = (0x0028, 0x0011);
pub const SPACING: Tag = (0x0028, 0x0030);
pub const ASPECT: Tag = (0x0028, 0x0034);
pub const ALLOCATED: Tag = (0x0028, 0x0100);
pub const STORED: Tag = (0x0028, 0x0101);
pub const HIGH_BIT: Tag = (0x0028, 0x0102);
pub const SIGNED: Tag = (0x0028, 0x0103);
pub const CENTER: Tag = (0x0028, 0x1050);
pub const WIDTH: Tag = (0x0028, 0x1051);
pub const INTERCEPT: Tag = (0x0028, 0x1052);
pub const SLOPE: Tag = (0x0028, 0x1053);
pub const FUNCTION: Tag = (0x0028, 0x1056);
pub const MODALITY_LUT: Tag = (0x0028, 0x3000);
pub const LUT_DESCRIPTOR: Tag = (0x0028, 0x3002);
pub const LUT_DATA: Tag = (0x0028, 0x3006);
pub const VOI_LUT: Tag = (0x0028, 0x3010);
pub const PADDING: Tag = (0x0028, 0x0120);
pub const PADDING_LIMIT: Tag = (0x0028, 0x0121);
/// The descriptor and the data of the palettes of red, green and blue.
pub const PALETTES: [[Tag; 2]; 3] =
    [[(0x0028, 0x1101), (0x0028, 0x1201)], [(0x0028, 0x1102), (0x0028, 0x1202)], [(0x0028, 0x1103), (0x0028, 0x1203)]];
/// The data of palettes in segments.
pub const SEGMENTED: [Tag; 3] = [(0x0028, 0x1221), (0x0028, 0x1222), (0x0028, 0x1223)];
const SYNTAX: Tag = (0x0002, 0x0010);
const FLOAT_PIXELS: [Tag; 2] = [(0x7FE0, 0x0008), (0x7FE0, 0x0009)];
const PIXELS: Tag = (0x7FE0, 0x0010);

/// The elements whose values are kept, besides palettes.
const KEPT: [Tag; 25] = [
    MODALITY,
    PATIENT_ID,
    IMAGER_SPACING,
    SAMPLES,
    PHOTOMETRIC,
    PLANAR,
    FRAMES,
    ROWS,
    COLUMNS,
    SPACING,
    ASPECT,
    ALLOCATED,
    STORED,
    HIGH_BIT,
    SIGNED,
    CENTER,
    WIDTH,
    INTERCEPT,
    SLOPE,
    FUNCTION,
    PADDING,
    PADDING_LIMIT,
    SEGMENTED[0],
    SEGMENTED[1],
    SEGMENTED[2],
];

/// The most bytes of a kept value, and of a lookup table.
const MOST_VALUE: u32 = 1 << 16;
const MOST_LUT: u32 = 1 << 17;

/// The most sequences within each other. Files of scanners nest fewer than ten.
const MOST_DEPTH: usize = 64;

/// The most elements, with those of sequences, and the marks of sequences. Files of scanners have thousands.
const MOST_TOKENS: usize = 8_000_000;

/// The most bytes to which a deflated file may inflate.
const MOST_INFLATED: u64 = 1 << 30;

/// How a file's pixels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// One sample after the other.
    Plain,
    /// Run lengths (PS3.5, annex G).
    Rle,
    /// JPEG, baseline or extended.
    Jpeg,
}

/// The elements before the pixels.
#[derive(Default)]
pub struct Elements {
    values: HashMap<Tag, Vec<u8>>,
    /// The descriptor and the data of the first VOI lookup table.
    voi_lut: [Option<Vec<u8>>; 2],
    /// Whether there is a table in place of rescale slope and intercept.
    pub modality_lut: bool,
    /// Whether numbers are stored with their high byte first.
    pub big_endian: bool,
}

/// What is due of the pixels: the bytes of the first frame where they are [`Coding::Plain`], and how many frames there are.
#[derive(Clone, Copy)]
pub struct Due {
    pub bytes: u64,
    pub frames: u64,
}

/// The bytes of the pixels of the first frame.
pub struct Pixels {
    pub coding: Coding,
    pub bytes: Vec<u8>,
}

impl Elements {
    /// Puts an element in, for tests.
    #[cfg(test)]
    pub fn put(&mut self, tag: Tag, value: impl AsRef<[u8]>) {
        self.values.insert(tag, value.as_ref().to_vec());
    }

    /// Whether the element is there and not empty.
    pub fn has(&self, tag: Tag) -> bool {
        self.values.get(&tag).is_some_and(|v| !v.is_empty())
    }

    /// A number of two bytes.
    pub fn short(&self, tag: Tag) -> Option<u16> {
        let two = self.values.get(&tag)?.get(..2)?;
        Some(self.word(two))
    }

    /// A number of two bytes in the order of the file.
    pub fn word(&self, two: &[u8]) -> u16 {
        let two = [two[0], two[1]];
        if self.big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) }
    }

    /// A text without the spaces and zeros that fill it up. Bytes that are not UTF-8 become one character each, so that
    /// different texts stay different.
    pub fn text(&self, tag: Tag) -> Option<String> {
        let bytes = self.values.get(&tag)?.clone();
        let text = String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect());
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_string())
    }

    /// The first of the numbers that a text lists. An error if it is not a number.
    pub fn decimal(&self, tag: Tag, name: &str) -> Result<Option<f64>, String> {
        let Some(text) = self.text(tag) else { return Ok(None) };
        let first = text.split('\\').next().unwrap_or_default().trim();
        match first.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(format!("its {name} is {:?}, which is not a number", first.chars().take(32).collect::<String>())),
        }
    }

    /// The first VOI lookup table.
    pub fn voi_lut(&self) -> Result<Option<Lut>, String> {
        let [Some(descriptor), Some(data)] = &self.voi_lut else { return Ok(None) };
        let below = self.decimal(INTERCEPT, "RescaleIntercept")?.is_some_and(|v| v < 0.0);
        self.table(descriptor, data, "VOI LUT", below).map(Some)
    }

    /// The lookup table in these two elements.
    pub fn lut(&self, [descriptor, data]: [Tag; 2], name: &str) -> Result<Option<Lut>, String> {
        match (self.values.get(&descriptor), self.values.get(&data)) {
            (Some(descriptor), Some(data)) => self.table(descriptor, data, name, false).map(Some),
            _ => Ok(None),
        }
    }
}

/// The name of a transfer syntax, for messages.
fn named(uid: &str) -> String {
    let name = TransferSyntaxRegistry.get(uid).map(TransferSyntax::name);
    let uid: String = uid.chars().take(64).collect();
    name.map_or(uid.clone(), |name| format!("{name} ({uid})"))
}

fn coding(uid: &str) -> Result<Coding, String> {
    match uid {
        "1.2.840.10008.1.2" | "1.2.840.10008.1.2.1" | "1.2.840.10008.1.2.1.99" | "1.2.840.10008.1.2.2" => {
            Ok(Coding::Plain)
        }
        "1.2.840.10008.1.2.5" => Ok(Coding::Rle),
        "1.2.840.10008.1.2.4.50" | "1.2.840.10008.1.2.4.51" => Ok(Coding::Jpeg),
        other => Err(format!(
            "its transfer syntax is {}, which is not read; `gdcmconv --raw IN OUT`, or pydicom's decompress(), saves it \
             uncompressed",
            named(other)
        )),
    }
}

/// Any source of bytes.
trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

type Reader<'a> = LazyDataSetReader<dicom_parser::DynStatefulDecoder<Box<dyn Source + 'a>>>;

fn reader<'a>(source: Box<dyn Source + 'a>, uid: &str) -> Result<Reader<'a>, String> {
    let syntax = TransferSyntaxRegistry.get(uid).ok_or_else(|| format!("its transfer syntax {uid} is not known"))?;
    Reader::new_with_ts(source, syntax).map_err(|e| e.to_string())
}

/// A deflated data set (PS3.5, A.5), inflated as it is read.
struct Inflated<'a> {
    from: DeflateDecoder<&'a [u8]>,
    at: u64,
}

impl Read for Inflated<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(into)?;
        self.at += n as u64;
        if self.at > MOST_INFLATED {
            return Err(Error::other(format!("it inflates to more than {MOST_INFLATED} bytes")));
        }
        Ok(n)
    }
}

impl Seek for Inflated<'_> {
    /// Tells the position alone, which is all that the reader asks.
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        match to {
            SeekFrom::Current(0) => Ok(self.at),
            _ => Err(Error::from(ErrorKind::Unsupported)),
        }
    }
}

/// Why reading stopped, without the words of the layers above.
fn broken(e: &dyn std::error::Error) -> String {
    let mut last = e;
    while let Some(source) = last.source() {
        last = source;
    }
    format!("it is cut or damaged ({last})")
}

/// The transfer syntax, and where the data set begins.
fn meta(bytes: &[u8]) -> Result<(String, usize), String> {
    let body = bytes.get(132..).unwrap_or_default();
    let mut reader = reader(Box::new(Cursor::new(body)), "1.2.840.10008.1.2.1")?;
    let (mut uid, mut end) = (None, 0);
    // The group has elements 0 to FFFF in explicit form. The first element of another group may be in any form.
    while let Some(Ok(token)) = reader.advance() {
        match token {
            LazyDataToken::ElementHeader(header) if header.tag.0 != 2 => break,
            LazyDataToken::ElementHeader(_) => {}
            LazyDataToken::LazyValue { header, decoder } => {
                let mut value = Vec::new();
                let kept = (header.tag.0, header.tag.1) == SYNTAX && header.len.0 <= MOST_VALUE;
                let read = match kept {
                    true => decoder.read_to_vec(header.len.0, &mut value),
                    false => decoder.skip_bytes(header.len.0),
                };
                read.map_err(|e| broken(&e))?;
                if kept {
                    let text = String::from_utf8_lossy(&value);
                    uid = Some(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_string());
                }
                end = decoder.position();
            }
            _ => break,
        }
    }
    let uid = uid.filter(|uid| !uid.is_empty()).ok_or("its file meta information names no transfer syntax")?;
    Ok((uid, 132 + end as usize))
}

/// Reads a file up to the end of its first frame. `ready` is given the elements before the pixels and how they are coded; it
/// refuses the picture, or says what is due.
pub fn read(
    bytes: &[u8],
    ready: &dyn Fn(&Elements, Coding) -> Result<Due, String>,
) -> Result<(Elements, Pixels), String> {
    let (uid, start) = meta(bytes)?;
    let coding = coding(&uid)?;
    let body = bytes.get(start..).ok_or("it is cut")?;
    let source: Box<dyn Source + '_> = match uid.as_str() {
        "1.2.840.10008.1.2.1.99" => Box::new(Inflated { from: DeflateDecoder::new(body), at: 0 }),
        _ => Box::new(Cursor::new(body)),
    };
    let mut reader = reader(source, &uid)?;
    let mut found = Elements { big_endian: uid == "1.2.840.10008.1.2.2", ..Elements::default() };
    let (mut depth, mut sequence, mut items) = (0, (0, 0), 0);
    let mut tokens = 0;
    while let Some(token) = reader.advance() {
        tokens += 1;
        if tokens > MOST_TOKENS {
            return Err("it has more elements than any picture".into());
        }
        match token.map_err(|e| broken(&e))? {
            LazyDataToken::SequenceStart { tag, .. } => {
                depth += 1;
                if depth > MOST_DEPTH {
                    return Err(format!("it has more than {MOST_DEPTH} sequences within each other"));
                }
                if depth == 1 {
                    (sequence, items) = ((tag.0, tag.1), 0);
                    found.modality_lut |= sequence == MODALITY_LUT;
                }
            }
            LazyDataToken::SequenceEnd => depth = depth.saturating_sub(1),
            LazyDataToken::ItemStart { .. } if depth == 1 => items += 1,
            LazyDataToken::PixelSequenceStart if depth == 0 => {
                if coding == Coding::Plain {
                    return Err("its pixels are in fragments, but its transfer syntax says uncompressed".into());
                }
                let due = ready(&found, coding)?;
                let bytes = fragments(&mut reader, bytes.len(), coding, due.frames)?;
                return Ok((found, Pixels { coding, bytes }));
            }
            LazyDataToken::PixelSequenceStart => depth += 1, // the icon of a sequence's item
            LazyDataToken::LazyValue { header, decoder } => {
                let tag = (header.tag.0, header.tag.1);
                if depth == 0 && tag == PIXELS {
                    let bytes = plain(decoder, header.len.0, ready(&found, coding)?, coding)?;
                    let swapped =
                        found.big_endian && header.vr.to_string() == "OW" && found.short(ALLOCATED) == Some(8);
                    return Ok((found, Pixels { coding, bytes: if swapped { turned(&bytes) } else { bytes } }));
                }
                if depth == 0 && FLOAT_PIXELS.contains(&tag) {
                    return Err(
                        "floating-point pixels are not read; save them as whole numbers with a rescale slope".into()
                    );
                }
                let first_lut = (depth, sequence, items) == (1, VOI_LUT, 1);
                found.keep((tag, header.len.0), (depth == 0, first_lut), decoder)?;
            }
            LazyDataToken::LazyItemValue { len, decoder } => decoder.skip_bytes(len).map_err(|e| broken(&e))?,
            _ => {}
        }
    }
    let kind = found.text(MODALITY).map_or(String::new(), |m| format!(", and its modality is {m}"));
    Err(format!("it holds no pixels{kind}: it is no image, or cut before them"))
}

/// The bytes of each two in the other order.
fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(2).flat_map(|two| two.iter().rev().copied()).collect()
}

impl Elements {
    /// Keeps a value that a picture needs: of the data set itself (`top`), or of the first item of its VOI LUT sequence
    /// (`first_lut`). Others are skipped.
    fn keep(
        &mut self,
        (tag, length): (Tag, u32),
        (top, first_lut): (bool, bool),
        decoder: &mut impl StatefulDecode,
    ) -> Result<(), String> {
        let lut = [LUT_DESCRIPTOR, LUT_DATA].iter().position(|t| *t == tag).filter(|_| first_lut);
        let palette = PALETTES.as_flattened().contains(&tag) && length <= MOST_LUT;
        let kept = top && (palette || KEPT.contains(&tag) && length <= MOST_VALUE);
        if !kept && (lut.is_none() || length > MOST_LUT) {
            return decoder.skip_bytes(length).map_err(|e| broken(&e));
        }
        let mut value = Vec::new();
        decoder.read_to_vec(length, &mut value).map_err(|e| broken(&e))?;
        match lut {
            Some(which) => self.voi_lut[which] = Some(value),
            None => drop(self.values.insert(tag, value)),
        }
        Ok(())
    }
}

/// The first frame of uncompressed pixels: `due` bytes of each frame, and one more where they are odd together.
fn plain(decoder: &mut impl StatefulDecode, length: u32, due: Due, coding: Coding) -> Result<Vec<u8>, String> {
    if coding != Coding::Plain {
        return Err("its pixels are not in fragments, but its transfer syntax says compressed".into());
    }
    let (length, all) = (u64::from(length), due.bytes.saturating_mul(due.frames));
    if length != all && length != all + all % 2 {
        let of = if due.frames == 1 { "" } else { " and number of frames" };
        let need = if due.frames == 1 { "needs" } else { "need" };
        return Err(format!("its pixels have {length} bytes, and its size{of} {need} {all}"));
    }
    let due = due.bytes;
    let mut bytes = Vec::with_capacity(0);
    decoder.read_to_vec(due as u32, &mut bytes).map_err(|e| broken(&e))?;
    if (bytes.len() as u64) < due {
        return Err(format!("it is cut: its pixels have {} bytes, and its size needs {due}", bytes.len()));
    }
    bytes.truncate(due as usize);
    Ok(bytes)
}

/// The fragments of the first of so many frames, joined. They cannot be longer than the file. A frame of run lengths is one
/// fragment (PS3.5, A.4.2); a JPEG goes on until a fragment begins with the mark of another.
fn fragments(reader: &mut Reader<'_>, most: usize, coding: Coding, frames: u64) -> Result<Vec<u8>, String> {
    let (mut all, mut item): (Vec<u8>, _) = (Vec::new(), 0);
    while let Some(token) = reader.advance() {
        match token.map_err(|e| broken(&e))? {
            LazyDataToken::ItemStart { .. } => item += 1,
            LazyDataToken::LazyItemValue { len, decoder } => {
                let before = all.len();
                // The first item is the table of offsets.
                let read = if item > 1 { decoder.read_to_vec(len, &mut all) } else { decoder.skip_bytes(len) };
                read.map_err(|e| broken(&e))?;
                if item > 1 && all.len() - before < len as usize || all.len() > most {
                    return Err("it is cut within its pixels".into());
                }
                let next_begins = before > 0 && all[before..].starts_with(&[0xFF, 0xD8]);
                if frames > 1 && item > 1 && (coding == Coding::Rle || next_begins) {
                    all.truncate(if next_begins { before } else { all.len() });
                    return Ok(all);
                }
            }
            LazyDataToken::SequenceEnd => return Ok(all),
            _ => {}
        }
    }
    Err("it is cut within its pixels".into())
}
