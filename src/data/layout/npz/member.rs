//! One array of an archive: its head, which is read and checked before its elements, and its elements.

use crate::base::{Error, Result};
use half::f16;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, npz::NpzArchive};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// A label at or above this counts as a mistake, because each label becomes a class.
pub(super) const MAX_CLASSES: u64 = 65_536;

/// The most bytes of a header's text. By default, numpy reads no more either.
const MAX_HEADER: usize = 10_000;

/// The most brackets in a header's text. The parser calls itself for each, so this bounds the stack.
const MAX_BRACKETS: usize = 64;

/// An open archive.
pub(super) type Zip = NpzArchive<BufReader<File>>;

/// An error about a member.
pub(super) fn bad(path: &Path, member: &str, what: impl std::fmt::Display) -> Error {
    Error::Data(format!("{}: member {member} {what}", path.display()))
}

/// The contents of an array's header.
pub(super) struct Head {
    /// Its name in the archive.
    pub name: String,
    /// The lengths of its axes.
    pub shape: Vec<usize>,
    /// The type of its elements, and the bytes of each.
    pub kind: (TypeChar, usize),
    /// Whether the first axis varies fastest.
    pub fortran: bool,
    /// The bytes of all elements.
    pub size: usize,
    big_endian: bool,
}

impl Head {
    /// The head of the member called `name`, or none if the archive has no such member. No element is read.
    pub fn read(zip: &mut Zip, path: &Path, name: &str) -> Result<Option<Self>> {
        if !zip.array_names().any(|n| n == name) {
            return Ok(None);
        }
        let (mut reader, length) = entry(zip, path, name)?;
        let (header, taken) = header(&mut reader).map_err(|e| damaged(path, name, &e))?;
        let (kind, big_endian) = element_type(&header).map_err(|what| bad(path, name, what))?;
        let shape: Option<Vec<usize>> = header.shape().iter().map(|&d| usize::try_from(d).ok()).collect();
        let size = shape.as_ref().and_then(|s| s.iter().try_fold(kind.1, |a, &d| a.checked_mul(d)));
        let (Some(shape), Some(size)) = (shape, size) else {
            return Err(bad(path, name, "claims more elements than memory can hold"));
        };
        // The archive gives the length of the member, without inflating it.
        let stored = length.saturating_sub(taken);
        if stored != size as u64 {
            return Err(wrong_length(path, name, stored > size as u64, &shape));
        }
        let fortran = header.order() == Order::Fortran && shape.len() > 1;
        Ok(Some(Head { name: name.into(), shape, kind, fortran, size, big_endian }))
    }

    /// The elements of the member, as bytes in the stored order.
    pub fn body<'a>(&'a self, zip: &'a mut Zip, path: &'a Path) -> Result<Body<'a>> {
        let (mut reader, _) = entry(zip, path, &self.name)?;
        header(&mut reader).map_err(|e| damaged(path, &self.name, &e))?;
        Ok(Body { head: self, path, reader: Box::new(reader) })
    }

    /// The elements as labels: whole numbers from 0 to below [`MAX_CLASSES`].
    pub fn labels(&self, zip: &mut Zip, path: &Path) -> Result<Vec<u32>> {
        let mut bytes = vec![0; self.size];
        let mut body = self.body(zip, path)?;
        body.fill(&mut bytes)?;
        body.end()?;
        let labels = bytes.chunks_exact(self.kind.1).enumerate().map(|(i, bytes)| {
            self.label(bytes).ok_or_else(|| {
                bad(path, &self.name, format!("row {i} is not a class number from 0 to {}", MAX_CLASSES - 1))
            })
        });
        labels.collect()
    }

    /// The bits of an element.
    fn bits(&self, bytes: &[u8]) -> u64 {
        let byte = |a: u64, &b: &u8| a << 8 | u64::from(b);
        if self.big_endian { bytes.iter().fold(0, byte) } else { bytes.iter().rev().fold(0, byte) }
    }

    /// One element as a number, the nearest one for whole numbers past 2^53.
    pub fn number(&self, bytes: &[u8]) -> f64 {
        let (bits, unused) = (self.bits(bytes), 64 - 8 * self.kind.1 as u32);
        match self.kind {
            (TypeChar::Float, 2) => f64::from(f16::from_bits(bits as u16)),
            (TypeChar::Float, 4) => f64::from(f32::from_bits(bits as u32)),
            (TypeChar::Float, _) => f64::from_bits(bits),
            (TypeChar::Int, _) => ((bits << unused) as i64 >> unused) as f64,
            _ => bits as f64,
        }
    }

    /// One element as a label. None if it is not a class number.
    fn label(&self, bytes: &[u8]) -> Option<u32> {
        let bits = self.bits(bytes);
        let whole = match self.kind {
            (TypeChar::Float, _) => {
                let value = self.number(bytes);
                // NaN is not equal to itself, so it is refused like a number with a fraction.
                if value != value.trunc() || value < 0.0 || value > MAX_CLASSES as f64 {
                    return None;
                }
                value as u64
            }
            // As an unsigned number, a negative label has its high bit set.
            (TypeChar::Int, size) if bits >> (8 * size - 1) != 0 => return None,
            (TypeChar::Bool, _) if bits > 1 => return None,
            _ => bits,
        };
        u32::try_from(whole).ok().filter(|v| u64::from(*v) < MAX_CLASSES)
    }

    /// A note for the user if labels are not integers.
    pub fn label_note(&self) -> Option<String> {
        let kind = match self.kind.0 {
            TypeChar::Float => "floating-point numbers, all whole",
            TypeChar::Bool => "truth values, false before true",
            _ => return None,
        };
        Some(format!("{} holds {kind}; they count as class numbers", self.name))
    }
}

/// The elements of a member, read in order.
pub(super) struct Body<'a> {
    head: &'a Head,
    path: &'a Path,
    reader: Box<dyn Read + 'a>,
}

impl Body<'_> {
    /// The next bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        let Head { name, shape, .. } = self.head;
        self.reader.read_exact(bytes).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => wrong_length(self.path, name, false, shape),
            _ => damaged(self.path, name, &e),
        })
    }

    /// Checks that nothing follows the elements. Reading to the end also compares the checksum.
    pub fn end(mut self) -> Result<()> {
        let Head { name, shape, .. } = self.head;
        match self.reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(wrong_length(self.path, name, true, shape)),
            Err(e) => Err(damaged(self.path, name, &e)),
        }
    }
}

/// A member's bytes, and their number as the archive's list gives it.
pub(super) fn entry<'a>(zip: &'a mut Zip, path: &Path, name: &str) -> Result<(impl Read + use<'a>, u64)> {
    let file = zip.zip_archive().by_name(&npyz::npz::file_name_from_array_name(name));
    let file = file.map_err(|e| damaged(path, name, &e))?;
    let length = file.size();
    Ok((file, length))
}

fn damaged(path: &Path, name: &str, e: &dyn std::fmt::Display) -> Error {
    bad(path, name, format!("is truncated or damaged ({e}); fetch or save the file again"))
}

fn wrong_length(path: &Path, name: &str, longer: bool, shape: &[usize]) -> Error {
    let than = if longer { "more" } else { "fewer" };
    bad(path, name, format!("holds {than} bytes than its shape {shape:?} needs"))
}

/// The header at the start of `reader`, and how many bytes it takes. Its length and nesting are bounded before it is
/// parsed, because the parser takes any length and calls itself for each bracket.
pub(super) fn header(reader: &mut impl Read) -> io::Result<(NpyHeader, u64)> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
    let mut head = vec![0; 10];
    reader.read_exact(&mut head)?;
    // The magic text, the version, and the length of what follows: two bytes in version 1, four bytes later.
    let length = if head[6] == 1 {
        usize::from(u16::from_le_bytes([head[8], head[9]]))
    } else {
        let mut more = [0; 2];
        reader.read_exact(&mut more)?;
        head.extend(more);
        u32::from_le_bytes([head[8], head[9], more[0], more[1]]) as usize
    };
    if length > MAX_HEADER {
        return Err(invalid("its header is longer than that of any array"));
    }
    let start = head.len();
    head.resize(start + length, 0);
    reader.read_exact(&mut head[start..])?;
    if head[start..].iter().filter(|b| matches!(b, b'(' | b'[' | b'{')).count() > MAX_BRACKETS {
        return Err(invalid("its header is nested deeper than that of any array"));
    }
    Ok((NpyHeader::from_reader(head.as_slice())?, head.len() as u64))
}

/// The type of a header's elements and whether it is big-endian, or what is wrong with it.
fn element_type(header: &NpyHeader) -> Result<((TypeChar, usize), bool), String> {
    use TypeChar::{Bool, Float, Int, Uint};
    let read = |kind, size| match kind {
        Uint | Int => matches!(size, 1 | 2 | 4 | 8),
        Float => matches!(size, 2 | 4 | 8),
        Bool => size == 1,
        _ => false,
    };
    match header.dtype() {
        DType::Plain(t) if read(t.type_char(), t.size_field()) => {
            Ok(((t.type_char(), t.size_field() as usize), t.endianness() == Endianness::Big))
        }
        other => Err(format!("has elements of type {}, which are not numbers that can be read", other.descr())),
    }
}
