//! Checkpoints as safetensors: the whole state of a run, or only a backbone, under torchvision's names.
//!
//! All metadata is JSON under one key, `wgslab`, because several keys would be written in changing order, and equal
//! states must give equal files. The metadata holds a checksum over all that the file says. It is compared before a
//! file of this program is used, because training on from a weight with a changed bit would silently give another
//! result.

use crate::base::hash::Hasher;
use crate::base::shape::MAX_RANK;
use crate::base::{DType, Error, Result, Shape, files, seal};
use crate::device::Gpu;
use crate::tape::{State, Type};
use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The only metadata key.
const META: &str = "wgslab";

/// The key of the tensors' digest within the metadata.
const TENSORS: &str = "tensors";

/// A tensor of a file: name, type, shape, bytes.
type Named = (String, Dtype, Vec<usize>, Vec<u8>);

fn write(path: &Path, tensors: &[Named], mut metadata: Map<String, Value>) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("cannot write {}: {e}", path.display()));
    let views = tensors
        .iter()
        .map(|(n, d, s, b)| Ok((n.clone(), TensorView::new(*d, s.clone(), b).map_err(|e| failed(&e))?)))
        .collect::<Result<Vec<_>>>()?;
    metadata.insert(TENSORS.into(), digest(&views).into());
    let metadata = Value::Object(seal::sealed(&metadata).map_err(|e| failed(&e))?).to_string();
    let metadata = HashMap::from([(META.to_string(), metadata)]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| failed(&e))?;
    files::write_atomic(path, &bytes)
}

/// The digest of names, types, shapes and values, in the order of the names.
fn digest<N: AsRef<str>>(tensors: &[(N, TensorView<'_>)]) -> String {
    let mut sorted: Vec<_> = tensors.iter().map(|(name, view)| (name.as_ref(), view)).collect();
    sorted.sort_by_key(|(name, _)| *name);
    let one = |mut hash: Hasher, (name, view): &(&str, &TensorView<'_>)| {
        hash.update(name);
        hash.update(view.dtype().to_string());
        view.shape().iter().for_each(|d| hash.update((*d as u64).to_le_bytes()));
        hash.part(view.data())
    };
    sorted.iter().fold(Hasher::new(), one).short()
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    let path = path.display();
    Error::Data(format!("{path} is not a usable safetensors file: {why}; make it again or fetch it again"))
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::damaged(path, why, "where a run was to go on from it, delete it to start anew; else make it again")
}

/// A file that [`save_state`] or [`save_backbone`] wrote. Its checksum has been compared.
pub struct Checkpoint {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The metadata that it was saved with.
    pub metadata: Map<String, Value>,
}

impl Checkpoint {
    /// Reads the file. It is an error if the file is not as it was written, or if another program wrote it.
    pub fn open(path: &Path) -> Result<Checkpoint> {
        let bytes = files::bytes(path).map_err(|e| damaged(path, &e))?;
        Checkpoint::of(path, bytes)
    }

    /// Takes the bytes of the file at `path`. The errors are those of [`Checkpoint::open`].
    pub fn of(path: &Path, bytes: Vec<u8>) -> Result<Checkpoint> {
        let metadata = verified(&bytes).map_err(|e| damaged(path, &e))?;
        Ok(Checkpoint { path: path.to_path_buf(), bytes, metadata })
    }

    fn tensors(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes).map_err(|e| damaged(&self.path, &e))
    }

    /// Writes the file's tensors over those of `state`, so that plans that use the state stay valid. It is an error if
    /// the two differ in names, types or shapes.
    pub fn restore(&self, gpu: &Gpu, state: &State) -> Result<()> {
        let (path, file) = (&self.path, self.tensors()?);
        if let Some(extra) = file.names().into_iter().find(|n| state.ty(n).is_none()) {
            return Err(damaged(path, &format!("it holds {extra}, which this run does not have")));
        }
        for name in state.names() {
            let view = file.tensor(name).map_err(|e| damaged(path, &e))?;
            let ty = state.ty(name).filter(|ty| view.dtype() == kind(*ty) && view.shape() == dims(ty.shape));
            if ty.is_none() {
                return Err(damaged(path, &format!("{name} is {:?} {:?} there", view.dtype(), view.shape())));
            }
            state.write(gpu, name, view.data())?;
        }
        Ok(())
    }

    /// Adds every tensor of the file to `state`.
    pub fn load(&self, gpu: &Gpu, state: &mut State) -> Result<()> {
        for (name, view) in self.tensors()?.tensors() {
            let ty = type_of(&view).map_err(|why| damaged(&self.path, &format!("{name} {why}")))?;
            state.insert(gpu, &name, ty, Some(view.data()))?;
        }
        Ok(())
    }
}

/// The type that a tensor of a file has in a state. A right checksum does not say who made the file, so a shape that no
/// state can have is refused here.
fn type_of(view: &TensorView<'_>) -> Result<Type, String> {
    let dims = view.shape();
    if dims.len() > MAX_RANK || dims.iter().any(|&d| u32::try_from(d).is_err()) {
        return Err(format!("is {dims:?} there; a state's tensors have at most {MAX_RANK} dimensions of 32 bits"));
    }
    let shape = Shape::new(dims);
    match view.dtype() {
        Dtype::F16 => Ok(Type::f16(shape)),
        Dtype::F32 => Ok(Type::f32(shape)),
        Dtype::U32 => Ok(Type::u32(shape)),
        other => Err(format!("holds {other:?}, and a state holds F16, F32 and U32")),
    }
}

/// The metadata of a file of this program, if its checksum is right. What only the check needs is left out.
fn verified(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let text = header.metadata().as_ref().and_then(|m| m.get(META)).ok_or("it has no metadata of ours")?;
    let mut metadata = seal::opened(text)?;
    let kept = metadata.remove(TENSORS);
    if kept.as_ref().and_then(Value::as_str) != Some(&digest(&file.tensors())) {
        return Err("its checksum differs from the tensors it holds".to_string());
    }
    Ok(metadata)
}

fn dims(shape: Shape) -> Vec<usize> {
    shape.dims().iter().map(|&d| d as usize).collect()
}

fn kind(ty: Type) -> Dtype {
    match ty.dtype {
        DType::F16 => Dtype::F16,
        DType::F32 => Dtype::F32,
        DType::U32 => Dtype::U32,
    }
}

/// Writes to `path` every tensor of `state` that a checkpoint holds, with `metadata`. If a value is not finite, that is
/// an error and the file stays as it was, since nothing can be trained from such a state.
pub fn save_state(path: &Path, gpu: &Gpu, state: &State, metadata: Map<String, Value>) -> Result<()> {
    let mut tensors = Vec::new();
    for name in state.names() {
        if let Some(ty) = state.ty(name) {
            let bytes = state.read(gpu, name)?;
            finite(path, name, ty, &bytes)?;
            tensors.push((name.to_string(), kind(ty), dims(ty.shape), bytes));
        }
    }
    write(path, &tensors, metadata)
}

fn finite(path: &Path, name: &str, ty: Type, bytes: &[u8]) -> Result<()> {
    let single = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let half = |b: &[u8]| half::f16::from_le_bytes([b[0], b[1]]).to_f32();
    let odd = match ty.dtype {
        DType::F16 => bytes.chunks_exact(2).map(half).find(|v| !v.is_finite()),
        DType::F32 => bytes.chunks_exact(4).map(single).find(|v| !v.is_finite()),
        DType::U32 => None,
    };
    match odd {
        None => Ok(()),
        Some(v) => Err(Error::Failed(format!(
            "training diverged: {name} holds {v}, so nothing is saved to {}; a smaller lr or a longer warm-up may help",
            path.display()
        ))),
    }
}

/// The metadata of any file of weights, of this program or another. PyTorch's own files have none. If the metadata
/// holds a checksum, it is compared. A file that people bring needs no checksum.
pub fn read_metadata(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>> {
    if super::torch::is_zip(bytes) {
        return Ok(Map::new());
    }
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| unusable(path, &e))?;
    let Some(ours) = header.metadata().as_ref().and_then(|m| m.get(META)) else { return Ok(Map::new()) };
    // Only this program writes the key, and it writes a JSON object.
    let broken = |e| damaged(path, &format!("its metadata under {META} is no JSON object ({e})"));
    let object: Map<String, Value> = serde_json::from_str(ours).map_err(broken)?;
    match object.contains_key(seal::CHECKSUM) {
        true => verified(bytes).map_err(|e| damaged(path, &e)),
        false => Ok(object),
    }
}

/// The tensors of a backbone's file: of each its name there and the name of its state; none of a batch norm's
/// `num_batches_tracked`, which torchvision's `load_state_dict` needs.
fn of_backbone<'a>(names: impl Iterator<Item = &'a str>, prefix: &str) -> Vec<(String, Option<&'a str>)> {
    let mut tensors = Vec::new();
    for (name, short) in names.filter_map(|name| Some((name, name.strip_prefix(prefix)?))) {
        tensors.push((short.to_string(), Some(name)));
        if let Some(norm) = short.strip_suffix("running_var") {
            tensors.push((format!("{norm}num_batches_tracked"), None));
        }
    }
    tensors
}

/// Writes the tensors of `state` whose names begin with `prefix`, without the prefix, so that PyTorch can load them.
/// Each batch norm also gets `num_batches_tracked` = `batches`.
pub fn save_backbone(
    path: &Path,
    gpu: &Gpu,
    state: &State,
    prefix: &str,
    batches: i64,
    metadata: Map<String, Value>,
) -> Result<()> {
    let mut tensors: Vec<Named> = Vec::new();
    for (short, name) in of_backbone(state.names(), prefix) {
        match name.map(|name| (name, state.ty(name))) {
            Some((name, Some(ty))) => tensors.push((short, kind(ty), dims(ty.shape), state.read(gpu, name)?)),
            Some((_, None)) => {}
            None => tensors.push((short, Dtype::I64, Vec::new(), batches.to_le_bytes().to_vec())),
        }
    }
    write(path, &tensors, metadata)
}

/// The head of the file of a backbone whose values are not known yet, so without checksums: all bytes before the
/// values. With it the names of the states whose values follow, in order; in the place of none follows the number of
/// batches as an i64.
pub fn backbone_head(
    states: &[(String, Type)],
    prefix: &str,
    metadata: &Map<String, Value>,
) -> Result<(Vec<u8>, Vec<Option<String>>)> {
    let types: HashMap<&str, Type> = states.iter().map(|(name, ty)| (name.as_str(), *ty)).collect();
    let mut tensors = of_backbone(states.iter().map(|s| s.0.as_str()), prefix);
    tensors.sort_by_key(|(_, name)| name.is_some()); // numbers of 8 bytes come first, so that all values are aligned
    let (mut infos, mut at) = (Vec::new(), 0);
    for (short, name) in &tensors {
        let ty = name.map(|name| types[name]);
        let (dtype, shape) = ty.map_or((Dtype::I64, Vec::new()), |ty| (kind(ty), dims(ty.shape)));
        let end = at + ty.map_or(8, |ty| ty.bytes() as usize);
        infos.push((short.clone(), TensorInfo { dtype, shape, data_offsets: (at, end) }));
        at = end;
    }
    let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("cannot write the head of a backbone's file: {e}"));
    let metadata = HashMap::from([(META.to_string(), Value::Object(metadata.clone()).to_string())]);
    let head = Metadata::new(Some(metadata), infos).map_err(|e| failed(&e))?;
    let mut text = serde_json::to_vec(&head).map_err(|e| failed(&e))?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let bytes = [&(text.len() as u64).to_le_bytes()[..], &text].concat();
    Ok((bytes, tensors.into_iter().map(|(_, name)| name.map(str::to_string)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_of_no_state_is_refused_whatever_its_checksum_says() {
        let of =
            |dtype, shape: &[usize], bytes: &[u8]| type_of(&TensorView::new(dtype, shape.to_vec(), bytes).unwrap());
        assert_eq!(of(Dtype::F32, &[1, 1, 1, 1, 1, 1], &[0; 4]).unwrap().shape.rank(), MAX_RANK);
        for (dtype, shape, bytes) in [
            (Dtype::F32, &[1, 1, 1, 1, 1, 1, 1][..], &[0; 4][..]),
            (Dtype::F32, &[1 << 32, 0], &[]),
            (Dtype::I64, &[1], &[0; 8]),
        ] {
            assert!(of(dtype, shape, bytes).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn metadata_of_ours_that_is_no_object_is_damage() {
        let of = |text: Option<&str>| {
            let metadata = text.map(|t| HashMap::from([(META.to_string(), t.to_string())]));
            let bytes = safetensors::serialize(Vec::<(String, TensorView<'_>)>::new(), metadata).unwrap();
            read_metadata(Path::new("w.safetensors"), &bytes)
        };
        assert!(of(None).unwrap().is_empty(), "another program's");
        assert_eq!(of(Some("{\"method\": \"simclr\"}")).unwrap().len(), 1);
        for text in ["", "{", "[1]", "{\"method\": \"simclr\"", "1"] {
            let e = of(Some(text)).unwrap_err();
            assert!(matches!(e, Error::Damaged { .. }) && e.to_string().contains("no JSON object"), "{text}: {e}");
        }
    }
}
