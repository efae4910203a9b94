//! What the lanes of a workgroup work out together: in a tree through workgroup memory, or, in the variant `subgroups`,
//! within each subgroup and then across by one exchange. Both have the same functions, so that a kernel is written once.
//!
//! `subgroups` takes subgroups of any size. The order of additions depends on that size, so bits are the same on one device
//! alone. No GPU has run it: it stands behind the variants that an op offers, so that it runs where a race chose it or
//! where it is asked for.

use crate::device::{Caps, Kernel, Piece};
use crate::piece;

/// The variant that adds within subgroups.
pub(crate) const SUBGROUPS: &str = "subgroups";

const SUM64: &[Piece] = &[piece!("common/lane.wgsl"), piece!("common/sum64.wgsl")];
const SUM256: &[Piece] = &[piece!("common/lane.wgsl"), piece!("common/sum256.wgsl")];
/// Of `$LANES` lanes.
const SUM_SUBGROUPS: &[Piece] = &[piece!("common/lane_subgroups.wgsl"), piece!("common/sum_subgroups.wgsl")];
const LSE64: &[Piece] = &[piece!("common/lane.wgsl"), piece!("common/lse64.wgsl")];
const LSE64_SUBGROUPS: &[Piece] = &[piece!("common/lane_subgroups.wgsl"), piece!("common/lse64_subgroups.wgsl")];

/// `variants`, and behind them the one that adds within subgroups, where the adapter has them.
pub(crate) fn and_subgroups(mut variants: Vec<&'static str>, caps: &Caps) -> Vec<&'static str> {
    // WGSL's subgroups have 4 lanes or more, and so many cells are there.
    variants.extend(caps.subgroup.filter(|(least, _)| *least >= 4).map(|_| SUBGROUPS));
    variants
}

/// `rows`: an invocation a row. `groups`: a workgroup a row. `subgroups`: the same, which adds within subgroups.
pub(crate) fn row_variants(caps: &Caps) -> Vec<&'static str> {
    and_subgroups(if caps.software { vec!["rows", "groups"] } else { vec!["groups", "rows"] }, caps)
}

/// `kernel` with `sum64`, the sum of two numbers over its 64 lanes: in a tree unless it is of the variant `subgroups`.
pub(crate) fn sum64(kernel: Kernel) -> Kernel {
    match kernel.variant {
        SUBGROUPS => kernel.followed_by(SUM_SUBGROUPS).with("LANES", 64),
        _ => kernel.followed_by(SUM64),
    }
}

/// `kernel` with `sum256`, the same over the 256 lanes of a larger workgroup; the first has it.
pub(crate) fn sum256(kernel: Kernel) -> Kernel {
    match kernel.variant {
        SUBGROUPS => kernel.followed_by(SUM_SUBGROUPS).with("LANES", 256),
        _ => kernel.followed_by(SUM256),
    }
}

/// `kernel` with `lse64`, the log-sum-exp over its 64 lanes.
pub(crate) fn lse64(kernel: Kernel) -> Kernel {
    let pieces = if kernel.variant == SUBGROUPS { LSE64_SUBGROUPS } else { LSE64 };
    kernel.followed_by(pieces)
}

/// The variant of a kernel that every variant of an op launches and that adds over its lanes.
pub(crate) fn shared(variant: &str) -> &'static str {
    if variant == SUBGROUPS { SUBGROUPS } else { "portable" }
}

/// The variant of a kernel that adds nothing over its lanes: under `subgroups` it is the kernel of the variant `twin`.
pub(crate) fn or_twin(variant: &'static str, twin: &'static str) -> &'static str {
    if variant == SUBGROUPS { twin } else { variant }
}
