//! order: the core of every op that sorts rows: the place of each element in the stable order of its row. The op's own
//! piece says what is compared and what becomes of a place. Shaders: shaders/core/order/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::tape::{Emit, Slot, Type};
use crate::{params, piece};

params! {
    /// Rows, the elements of one, and how many places the op keeps.
    pub(crate) struct Params { rows: u32, length: u32, keep: u32 }
}

const INDEX: &[Piece] = &[piece!("common/index.wgsl")];
/// The walks: counting what comes before, and sorting in workgroup memory.
const COUNT: &[Piece] = &[piece!("core/order/count.wgsl")];
const SORT: &[Piece] = &[piece!("core/order/sort.wgsl")];

/// Pairs that the sort holds for a row of `length`.
fn size(length: usize) -> u32 {
    length.next_power_of_two().max(2) as u32
}

/// `count`: an invocation an element, length² comparisons a row. `sort`: a workgroup a row, where workgroup memory holds
/// one: 2,048 elements under the default limits of WebGPU, 4,096 with 32 KiB.
pub(crate) fn variants(length: usize, caps: &Caps) -> Vec<&'static str> {
    match 8 * u64::from(size(length)) <= u64::from(caps.workgroup_bytes) {
        false => vec!["count"],
        true if caps.software => vec!["count", "sort"],
        true => vec!["sort", "count"],
    }
}

/// Rows of x and the elements of one.
pub(crate) fn rows(op: &'static str, x: &Type) -> Result<[usize; 2]> {
    x.expect_dtype(op, "x", DType::F32)?;
    match x.shape.dims().last() {
        Some(&length) if x.shape.numel() > 0 => Ok([x.shape.numel() / length as usize, length as usize]),
        _ => Err(Error::shape(op, format!("x is {} and has no last axis to order", x.shape))),
    }
}

/// Launches the walk of the chosen variant over `rows` of `length`, with the pieces of an op.
pub(crate) fn launch(
    e: &mut Emit<'_>,
    name: &'static str,
    own: &[Piece],
    buffers: &[Slot],
    [rows, length, keep]: [usize; 3],
) {
    let params = Params { rows: rows as u32, length: length as u32, keep: keep as u32 };
    if e.variant == "sort" {
        let kernel = Kernel::new(name, "sort", INDEX).followed_by(own).followed_by(SORT).with("SIZE", size(length));
        return e.launch(kernel, buffers, &params, groups_1d(rows));
    }
    let kernel = Kernel::new(name, "count", INDEX).followed_by(own).followed_by(COUNT);
    e.launch(kernel, buffers, &params, groups_1d((rows * length).div_ceil(64)));
}
