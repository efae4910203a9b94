//! One f64 reference for each op file. It is written in plain loops from the formula, without looking at the kernel.
//!
//! A reference gives the value of each output and how exact f32 can be. With K products or sums in an element, |error|
//! ≤ 2⁻²⁴ · Σ|terms| · (4 · max(1, √K) + 2 · ulps). `ulps` is what Vulkan grants the inexact built-ins of the formula
//! (division 2.5, sqrt 4.5, exp 3 + 2|x|, log 3), in addition to the rounding of sums.

/// The references of a family, one line for each: their modules, and `LISTED`, which holds every op's name with its
/// reference.
macro_rules! references {
    ($($op:ident,)*) => {
        $(pub mod $op;)*

        /// Every op of this list: its name and its reference.
        pub const LISTED: &[(&str, crate::reference::Reference)] = &[$((stringify!($op), $op::reference)),*];
    };
}

mod core;
mod elementwise;
mod fuse;
mod images;
mod layers;
mod losses;
mod shape;
mod training;

pub use self::core::*;
pub use self::elementwise::*;
pub use self::images::*;
pub use self::layers::*;
pub use self::losses::*;
pub use self::shape::*;

use std::any::Any;
use wgslab::kernels::many::{Joined, Many};
pub use wgslab::lab::check::{Answer, Expected, FLUSHED, HALF_ULP, Outputs, Tensor};
use wgslab::tape::Op;

/// An op's reference.
pub type Reference = fn(&dyn Op, &[Tensor]) -> Answer;

/// The lists of all families.
const ALL: [&[(&str, Reference)]; 6] =
    [elementwise::LISTED, images::LISTED, layers::LISTED, losses::LISTED, shape::LISTED, training::LISTED];

/// Files whose cases have the names of ops, not of the file: the names with the reference.
const FAMILIES: &[(&[&str], Reference)] =
    &[(binary::NAMES, binary::reference), (unary::NAMES, unary::reference), (&["epilogue"], fuse::reference)];

/// Every name with its reference.
fn all() -> impl Iterator<Item = (&'static str, Reference)> {
    let families = FAMILIES.iter().flat_map(|(names, reference)| names.iter().map(|name| (*name, *reference)));
    ALL.into_iter().flatten().copied().chain(families)
}

/// The reference of an op.
pub fn of(name: &str) -> Option<Reference> {
    all().find(|r| r.0 == name).map(|r| r.1)
}

/// The reference of an op, or an error that there is none.
pub fn expect(name: &str) -> Result<Reference, String> {
    of(name).ok_or_else(|| format!("{name} has no reference in kernels-tests/reference/"))
}

/// Checks that every op file has a reference and every reference an op file.
pub fn complete() -> Result<(), String> {
    let ops: Vec<&str> = wgslab::kernels::ops().into_iter().map(|o| o.0).collect();
    let missing: Vec<_> = ops.iter().filter(|o| of(o).is_none()).collect();
    let extra: Vec<_> = all().map(|r| r.0).filter(|r| !ops.contains(r)).collect();
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    Err(format!("ops without a reference: {missing:?}; references without an op: {extra:?}"))
}

/// The reference `one` of an op over one tensor, or of several such ops as one.
pub fn each<T: Many>(op: &dyn Op, x: &[Tensor], one: Reference) -> Answer {
    let any: &dyn Any = op;
    let Some(joined) = any.downcast_ref::<Joined<T>>() else { return one(op, x) };
    let common = joined.each.len() * T::OWN;
    let of = |(i, op): (usize, &T)| one(op, &[&x[i * T::OWN..(i + 1) * T::OWN], &x[common..]].concat()).outputs;
    Answer::new(joined.each.iter().enumerate().flat_map(of).collect())
}

/// Whether input `i` exists and is a raised guard.
pub fn raised(x: &[Tensor], i: usize) -> bool {
    x.get(i).is_some_and(|guard| guard.u[0] != 0)
}

/// The op as its own type.
pub fn cast<T: Op>(op: &dyn Op) -> &T {
    let any: &dyn Any = op;
    any.downcast_ref::<T>().unwrap_or_else(|| panic!("the reference does not know the op {op:?}"))
}
