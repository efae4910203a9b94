//! order: the core of every op that sorts rows: the place of each element in the stable order of its row. The op's own
//! piece says what is compared and what becomes of a place. Shaders: shaders/core/order/.

use crate::base::{DType, Error, Result};
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::params;
use crate::tape::{Emit, Slot, Type};

params! {
    /// Rows, the elements of one, and how many places the op keeps.
    pub(crate) struct Params { rows: u32, length: u32, keep: u32 }
}

/// `pieces` of an op with each of the two walks: counting what comes before, and sorting in workgroup memory.
macro_rules! walks {
    ($($piece:literal),*) => {
        [
            &[piece!("common/index.wgsl"), $(piece!($piece),)* piece!("core/order/count.wgsl")],
            &[piece!("common/index.wgsl"), $(piece!($piece),)* piece!("core/order/sort.wgsl")],
        ]
    };
}
pub(crate) use walks;

/// The pieces of the variants `count` and `sort`.
pub(crate) type Walks = [&'static [Piece]; 2];

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

/// Launches the walk of the chosen variant over `rows` of `length`.
pub(crate) fn launch(
    e: &mut Emit<'_>,
    name: &'static str,
    walks: &Walks,
    buffers: &[Slot],
    [rows, length, keep]: [usize; 3],
) {
    let params = Params { rows: rows as u32, length: length as u32, keep: keep as u32 };
    if e.variant == "sort" {
        let kernel = Kernel::new(name, "sort", walks[1]).with("SIZE", size(length));
        return e.launch(kernel, buffers, &params, groups_1d(rows));
    }
    e.launch(Kernel::new(name, "count", walks[0]), buffers, &params, groups_1d((rows * length).div_ceil(64)));
}
