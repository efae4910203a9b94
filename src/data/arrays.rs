//! NumPy archives written: arrays by name in one `.npz`, which `numpy.load` reads without pickle.

use crate::base::{Error, Result};
use npyz::npz::NpzArchive;
use std::io::{Cursor, Write};
use zip::write::FileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// An array of an archive.
#[derive(Clone, Debug)]
pub enum Array<'a> {
    /// `float32` of this shape.
    F32(&'a [f32], Vec<usize>),
    /// `uint8` of this shape.
    U8(&'a [u8], Vec<usize>),
    /// `int64` with one axis.
    I64(&'a [i64]),
    /// Texts with one axis, as NumPy's own strings.
    Text(&'a [&'a str]),
}

impl Array<'_> {
    /// (type, shape, elements as bytes).
    fn parts(&self) -> (String, Vec<usize>, Vec<u8>) {
        match self {
            Array::F32(values, shape) => ("<f4".into(), shape.clone(), bytes(values.iter().map(|v| v.to_le_bytes()))),
            Array::U8(values, shape) => ("|u1".into(), shape.clone(), values.to_vec()),
            Array::I64(values) => ("<i8".into(), vec![values.len()], bytes(values.iter().map(|v| v.to_le_bytes()))),
            Array::Text(texts) => {
                let width = texts.iter().map(|t| t.chars().count()).max().unwrap_or(0).max(1);
                let padded =
                    |t: &&str| t.chars().map(u32::from).chain(std::iter::repeat(0)).take(width).collect::<Vec<_>>();
                (format!("<U{width}"), vec![texts.len()], bytes(texts.iter().flat_map(padded).map(u32::to_le_bytes)))
            }
        }
    }

    /// The member of an archive: NumPy's format 1.0.
    fn npy(&self) -> Vec<u8> {
        let (descr, shape, data) = self.parts();
        let shape: String = shape.iter().map(|d| format!("{d}, ")).collect();
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
        const BEFORE: usize = 10; // magic text, version, length
        header += &" ".repeat(63 - (BEFORE + header.len()) % 64); // the data begins at a multiple of 64
        header.push('\n');
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\0".as_slice(), &length, header.as_bytes(), &data].concat()
    }
}

fn bytes<const N: usize>(values: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    values.flatten().collect()
}

/// The bytes of an archive of these arrays. Equal arrays give equal bytes.
pub fn npz(arrays: &[(&str, Array<'_>)]) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("an npz archive could not be made: {e}"));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in arrays {
        let member = array.npy();
        let how = FileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .large_file(member.len() > u32::MAX as usize);
        zip.start_file(format!("{name}.npy"), how).map_err(|e| failed(&e))?;
        zip.write_all(&member).map_err(|e| failed(&e))?;
    }
    Ok(zip.finish().map_err(|e| failed(&e))?.into_inner())
}

/// The elements of the `float32` array `name` of an archive that [`npz`] made; the middle of a sentence where it has none.
pub fn floats(archive: &[u8], name: &str) -> Result<Vec<f32>, String> {
    let read =
        || NpzArchive::new(Cursor::new(archive))?.by_name(name)?.map(|array| array.into_vec::<f32>()).transpose();
    match read() {
        Ok(Some(values)) => Ok(values),
        Ok(None) => Err(format!("it has no array {name}")),
        Err(e) => Err(format!("its array {name} cannot be read ({e})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back() {
        let (values, counts, names) = ([1.5f32, -2.0, f32::MIN_POSITIVE, 4.0], [3i64, -1], ["a", "größe/1.png"]);
        let arrays = [
            ("features", Array::F32(&values, vec![2, 2])),
            ("labels", Array::I64(&counts)),
            ("names", Array::Text(&names)),
            ("pixels", Array::U8(&[0, 7, 255], vec![3, 1])),
        ];
        let file = npz(&arrays).unwrap();
        assert_eq!(npz(&arrays).unwrap(), file, "no time is in it");
        assert_eq!(floats(&file, "features").unwrap(), values);
        assert!(floats(&file, "logits").unwrap_err().contains("no array logits") && floats(&file, "names").is_err());
        let mut archive = NpzArchive::new(Cursor::new(file.as_slice())).unwrap();
        let features = archive.by_name("features").unwrap().unwrap();
        assert_eq!(features.shape(), [2, 2]);
        assert_eq!(features.into_vec::<f32>().unwrap(), values);
        assert_eq!(archive.by_name("labels").unwrap().unwrap().into_vec::<i64>().unwrap(), counts);
        assert_eq!(archive.by_name("names").unwrap().unwrap().into_vec::<String>().unwrap(), names);
        let pixels = archive.by_name("pixels").unwrap().unwrap();
        assert_eq!(pixels.shape(), [3, 1]);
        assert_eq!(pixels.into_vec::<u8>().unwrap(), [0, 7, 255]);
        let none = npz(&[("names", Array::Text(&[])), ("features", Array::F32(&[], vec![0, 4]))]).unwrap();
        let mut archive = NpzArchive::new(Cursor::new(none.as_slice())).unwrap();
        assert_eq!(archive.by_name("features").unwrap().unwrap().shape(), [0, 4]);
    }
}
