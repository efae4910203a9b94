//! Archives of arrays that NumPy reads.

use crate::base::{Error, Result};
use npyz::WriterBuilder;
use npyz::npz::NpzWriter;
use std::io::Cursor;

/// An .npz of u32 `indices` [N] and f32 arrays: name, shape, values.
pub fn npz(indices: &[u32], members: &[(String, Vec<u64>, &[f32])]) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::Failed(format!("an .npz could not be written: {e}"));
    let mut archive = NpzWriter::new(Cursor::new(Vec::new()));
    add(&mut archive, "indices", &[indices.len() as u64], indices).map_err(failed)?;
    for (name, shape, values) in members {
        add(&mut archive, name, shape, values).map_err(failed)?;
    }
    let finished = archive.zip_writer().finish().map_err(|e| failed(std::io::Error::other(e)))?;
    Ok(finished.into_inner())
}

fn add<T: npyz::AutoSerialize + Copy>(
    archive: &mut NpzWriter<Cursor<Vec<u8>>>,
    name: &str,
    shape: &[u64],
    values: &[T],
) -> std::io::Result<()> {
    let mut writer = archive.array::<T>(name, Default::default())?.default_dtype().shape(shape).begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()
}
