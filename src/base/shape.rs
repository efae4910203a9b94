//! Shapes and element types. A shape is a small `Copy` value, so that ops can hold and compare it.

use crate::base::{Error, Result};

/// The most dimensions a tensor may have.
pub const MAX_RANK: usize = 6;

/// Dimensions of a tensor, outermost first, row-major and dense.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Shape {
    rank: u8,
    dims: [u32; MAX_RANK],
}

impl Shape {
    /// A shape with these dimensions. More than [`MAX_RANK`] of them is a programming error.
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= MAX_RANK, "a tensor has at most {MAX_RANK} dimensions, not {}", dims.len());
        let mut s = Shape { rank: dims.len() as u8, dims: [1; MAX_RANK] };
        for (d, &v) in s.dims.iter_mut().zip(dims) {
            *d = u32::try_from(v).unwrap_or(u32::MAX);
        }
        s
    }

    /// The dimensions.
    pub fn dims(&self) -> &[u32] {
        &self.dims[..self.rank as usize]
    }

    /// Dimension `i`.
    pub fn dim(&self, i: usize) -> usize {
        self.dims()[i] as usize
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Number of elements; 1 for a scalar.
    pub fn numel(&self) -> usize {
        self.dims().iter().map(|&d| d as usize).product()
    }

    /// The four dimensions of an N C H W tensor, or an error that names `op` and `name`.
    pub fn nchw(&self, op: &'static str, name: &str) -> Result<[usize; 4]> {
        match *self.dims() {
            [n, c, h, w] => Ok([n as usize, c as usize, h as usize, w as usize]),
            _ => Err(Error::shape(op, format!("{name} must have four dimensions N C H W, not {self}"))),
        }
    }

    /// The two dimensions of a matrix, or an error that names `op` and `name`.
    pub fn matrix(&self, op: &'static str, name: &str) -> Result<[usize; 2]> {
        match *self.dims() {
            [m, n] => Ok([m as usize, n as usize]),
            _ => Err(Error::shape(op, format!("{name} must have two dimensions, not {self}"))),
        }
    }

    /// The one dimension of a vector, or an error that names `op` and `name`.
    pub fn vector(&self, op: &'static str, name: &str) -> Result<usize> {
        match *self.dims() {
            [n] => Ok(n as usize),
            _ => Err(Error::shape(op, format!("{name} must have one dimension, not {self}"))),
        }
    }
}

impl serde::Serialize for Shape {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.dims())
    }
}

impl<'a> serde::Deserialize<'a> for Shape {
    fn deserialize<D: serde::Deserializer<'a>>(d: D) -> Result<Self, D::Error> {
        let list = Vec::<u32>::deserialize(d)?;
        if list.len() > MAX_RANK {
            let why = format!("a shape has {} dimensions, but may have at most {MAX_RANK}", list.len());
            return Err(serde::de::Error::custom(why));
        }
        let mut dims = [1; MAX_RANK];
        dims[..list.len()].copy_from_slice(&list);
        Ok(Shape { rank: list.len() as u8, dims })
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}]", self.dims().iter().map(|d| d.to_string()).collect::<Vec<_>>().join(", "))
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape::new(&dims)
    }
}

/// Element type of a tensor on the device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum DType {
    /// 16-bit float, IEEE 754 binary16: activations and their gradients, if a step asks for it. Arithmetic is in f32.
    /// Each word holds two elements, the first in the low half.
    F16,
    /// 32-bit float: everything else that is differentiated.
    F32,
    /// 32-bit unsigned: labels, indices, flags, and images, which are packed four bytes to a word.
    U32,
}

impl DType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            DType::F16 => 2,
            DType::F32 | DType::U32 => 4,
        }
    }

    /// Whether a gradient may flow through such elements.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::F32)
    }

    /// The name that safetensors uses.
    pub fn name(self) -> &'static str {
        match self {
            DType::F16 => "F16",
            DType::F32 => "F32",
            DType::U32 => "U32",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_count_and_print() {
        let s = Shape::from([2, 3, 4]);
        assert_eq!((s.numel(), s.rank(), s.dim(2)), (24, 3, 4));
        assert_eq!(s.to_string(), "[2, 3, 4]");
        assert_eq!(Shape::new(&[]).numel(), 1);
        assert!(s.matrix("matmul", "a").unwrap_err().to_string().contains("[2, 3, 4]"));
    }
}
