//! The tensors of a file of weights, in any of the formats that are read, as views of the file's bytes.

use super::torch;
use crate::base::{Error, Result};
pub use safetensors::Dtype;
use safetensors::SafeTensors;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// A tensor that lies in the bytes of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct View<'a> {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The file's bytes from the tensor's first element on.
    data: &'a [u8],
    /// For each axis: the distance of neighbours in elements. `None` if the elements lie one after another in row-major
    /// order.
    strides: Option<Vec<usize>>,
}

impl<'a> View<'a> {
    /// A tensor whose elements lie one after another in row-major order.
    pub(super) fn new(dtype: Dtype, shape: Vec<usize>, data: &'a [u8]) -> Self {
        View { dtype, shape, data, strides: None }
    }

    /// A tensor whose neighbours along each axis lie `strides` elements apart, all of them within `data`.
    pub(super) fn strided(dtype: Dtype, shape: Vec<usize>, data: &'a [u8], strides: Vec<usize>) -> Self {
        View { dtype, shape, data, strides: Some(strides) }
    }

    /// The bytes of its elements in row-major order.
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        let Some(strides) = &self.strides else { return Cow::Borrowed(self.data) };
        let (size, count) = (self.dtype.bitsize() / 8, self.shape.iter().product::<usize>());
        let (mut out, mut at) = (Vec::with_capacity(count * size), vec![0; self.shape.len()]);
        for _ in 0..count {
            let place: usize = at.iter().zip(strides).map(|(i, s)| i * s).sum();
            out.extend_from_slice(&self.data[place * size..][..size]);
            for axis in (0..at.len()).rev() {
                at[axis] += 1;
                if at[axis] < self.shape[axis] {
                    break;
                }
                at[axis] = 0;
            }
        }
        Cow::Owned(out)
    }

    /// The bytes of its elements as f32, in row-major order. `None` if the elements are not F16, BF16, F32 or F64.
    pub fn f32_bytes(&self) -> Option<Cow<'a, [u8]>> {
        let bytes = self.bytes();
        let pairs =
            |of: fn([u8; 2]) -> f32| bytes.chunks_exact(2).flat_map(|b| of([b[0], b[1]]).to_le_bytes()).collect();
        let narrow = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32;
        match self.dtype {
            Dtype::F32 => Some(bytes),
            Dtype::F16 => Some(Cow::Owned(pairs(|b| half::f16::from_le_bytes(b).to_f32()))),
            Dtype::BF16 => Some(Cow::Owned(pairs(|b| half::bf16::from_le_bytes(b).to_f32()))),
            Dtype::F64 => Some(Cow::Owned(bytes.chunks_exact(8).flat_map(|b| narrow(b).to_le_bytes()).collect())),
            _ => None,
        }
    }
}

/// Names the first value among these f32 bytes that no trained model has in the tensor `name`: one that is not finite,
/// or a negative variance. `None` if all are right.
pub fn wrong_value(name: &str, bytes: &[u8]) -> Option<String> {
    let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let variance = name.ends_with("running_var");
    let wrong = |v: &f32| !v.is_finite() || (variance && *v < 0.0);
    let (i, v) = bytes.chunks_exact(4).map(value).enumerate().find(|(_, v)| wrong(v))?;
    Some(format!("{name} holds {v} as its value {i}"))
}

/// The tensors of the file at `path`, which holds `bytes`, by name. In a PyTorch file, names in dicts within dicts are
/// joined by dots. It is an error (exit code 4) if the file cannot be read.
pub fn tensors<'a>(path: &Path, bytes: &'a [u8]) -> Result<BTreeMap<String, View<'a>>> {
    if torch::is_zip(bytes) {
        return torch::tensors(bytes).map_err(|why| Error::Data(format!("{} {why}", path.display())));
    }
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| Error::Data(format!("{} is not a usable safetensors file: {e}; make it again", path.display())))?;
    let view = |v: safetensors::tensor::TensorView<'a>| View::new(v.dtype(), v.shape().to_vec(), v.data());
    Ok(file.tensors().into_iter().map(|(name, v)| (name, view(v))).collect())
}
