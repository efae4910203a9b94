//! PyTorch's own files, `.pt` and `.pth`: zip archives of a pickle, which describes the tensors, and of storages, which
//! hold their values (`torch.save` since version 1.6). The pickle is read as data and never run, see [`pickle`].
//!
//! Members are stored and not compressed, so every tensor is a view of the file's own bytes. The members' checksums are
//! compared.

mod names;
mod pickle;
#[cfg(test)]
mod tests;

use super::tensors::View;
use crate::base::contained::contained;
use names::named;
use pickle::Described;
use std::collections::BTreeMap;
use std::io::Cursor;
use zip::{CompressionMethod, ZipArchive};

/// The names in a file may be longer together than the file, by this many bytes, since a small file may nest dicts.
const SMALL: usize = 1 << 16;

/// Whether these are the first bytes of a zip archive.
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// The tensors of a file by name. The error is the end of a sentence that begins with the file's name.
pub(super) fn tensors(bytes: &[u8]) -> Result<BTreeMap<String, View<'_>>, String> {
    let members = contained(|| members(bytes)).map_err(|why| format!("cannot be read as a zip archive ({why})"))??;
    let Some((folder, pickled)) = members.iter().find_map(|(name, m)| Some((name.strip_suffix("/data.pkl")?, m)))
    else {
        return Err("is a zip archive without data.pkl, and no file that torch.save wrote".into());
    };
    if members.contains_key(&format!("{folder}/constants.pkl")) {
        return Err(
            "is a TorchScript program; load it with torch.jit.load and save its state_dict() with torch.save".into()
        );
    }
    match members.get(&format!("{folder}/byteorder")).copied() {
        None | Some(b"little") => {}
        Some(_) => {
            return Err("was written on a machine of big-endian numbers; load it in Python and save it anew".into());
        }
    }
    let (machine, root) = pickle::read(pickled)?;
    let described = named(&machine, root, bytes.len() + SMALL)?;
    let of = |(name, tensor): (String, Described)| {
        let storage = members.get(&format!("{folder}/data/{}", tensor.storage));
        let storage = storage.ok_or_else(|| format!("lacks the storage {} of {name}", tensor.storage))?;
        Ok((name.clone(), view(storage, &tensor).map_err(|why| format!("holds {name}, which {why}"))?))
    };
    described.into_iter().map(of).collect()
}

/// The bytes of all members by name. Their checksums are compared.
fn members(bytes: &[u8]) -> Result<BTreeMap<String, &[u8]>, String> {
    let damaged = |e: &dyn std::fmt::Display| format!("is cut or damaged ({e}); fetch or save it again");
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(&e))?;
    let (mut found, mut left) = (BTreeMap::new(), bytes.len());
    for i in 0..zip.len() {
        let mut member = zip.by_index(i).map_err(|e| damaged(&e))?;
        let name = member.name().to_string();
        if member.compression() != CompressionMethod::Stored {
            return Err(format!("holds {name} compressed, which torch.save never does; save it again"));
        }
        let (start, size) = (member.data_start() as usize, usize::try_from(member.size()).unwrap_or(usize::MAX));
        // Without this check, members that overlap would be read as often as they are named.
        left = left.checked_sub(size).ok_or("has members that together are longer than the file")?;
        let data = start.checked_add(size).and_then(|end| bytes.get(start..end)).ok_or_else(|| damaged(&name))?;
        std::io::copy(&mut member, &mut std::io::sink()).map_err(|e| damaged(&format!("{name}: {e}")))?;
        if let Some(twice) = found.insert(name, data) {
            return Err(format!("gives two members one name, one of {} bytes; save it again", twice.len()));
        }
    }
    Ok(found)
}

/// A tensor as a view of its storage. A tensor with more elements than its storage is refused, because its strides
/// repeat values.
fn view<'a>(storage: &'a [u8], tensor: &Described) -> Result<View<'a>, String> {
    let Described { dtype, elements, offset, ref shape, ref strides, .. } = *tensor;
    let size = dtype.bitsize() / 8;
    let outside = || format!("lies outside its storage of {} bytes", storage.len());
    if elements.checked_mul(size).is_none_or(|bytes| bytes > storage.len()) {
        return Err(outside());
    }
    if shape.contains(&0) {
        return Ok(View::new(dtype, shape.clone(), &[]));
    }
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(outside)?;
    let reach = |last: usize, (d, stride): (&usize, &usize)| last.checked_add((d - 1).checked_mul(*stride)?);
    let last = shape.iter().zip(strides).try_fold(offset, reach).ok_or_else(outside)?;
    if last >= elements {
        return Err(outside());
    }
    if count > elements {
        return Err("repeats the values of its storage; save it with .contiguous()".into());
    }
    let contiguous =
        shape.iter().zip(strides).rev().try_fold(1, |due, (&d, &s)| (d == 1 || s == due).then_some(due * d));
    let data = &storage[offset * size..];
    Ok(match contiguous {
        Some(_) => View::new(dtype, shape.clone(), &data[..count * size]),
        None => View::strided(dtype, shape.clone(), data, strides.clone()),
    })
}
