//! Which kernels multiply halves, and matrices with cooperative ones: the f16 and cooperative tiers of matmul.
//!
//! Operands are read as halves and become f32 at once: tiles and sums are f32, and the result is as the op asks. `tiled_f16` needs
//! `shader-f16`; `packed` reads words of two halves and runs everywhere. Both read whole vec4 where the rows of both
//! operands divide by four. Else they read one element at a time, because an odd row may begin within a word.
//! Cooperative kernels are offered only where the adapter lists exactly their shape and the user asked for them.

use crate::base::DType;
use crate::device::{Caps, Cooperative, Kernel, Piece, groups_1d};
use crate::kernels::gemm::{self, Staging};
use crate::kernels::strided::Strided;
use crate::piece;
use crate::tape::Emit;

const NAIVE: &[Piece] = &[
    piece!("common/half.wgsl"),
    piece!("common/index.wgsl"),
    piece!("core/gemm/operands_packed.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/c_put.wgsl"),
    piece!("layers/matmul/each.wgsl"),
    piece!("core/gemm/naive.wgsl"),
];
const TILED: &[Piece] = &[
    piece!("common/enable_f16.wgsl"),
    piece!("common/index.wgsl"),
    piece!("core/gemm/operands_f16.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/c_put.wgsl"),
    piece!("layers/matmul/each.wgsl"),
    piece!("core/gemm/stage.wgsl"),
    piece!("core/gemm/tiled.wgsl"),
];
const TILED_FOURS: &[Piece] = &[
    piece!("common/enable_f16.wgsl"),
    piece!("common/index.wgsl"),
    piece!("layers/matmul/fours_f16.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/c_put.wgsl"),
    piece!("layers/matmul/stage_fours.wgsl"),
    piece!("core/gemm/tiled.wgsl"),
];
const PACKED: &[Piece] = &[
    piece!("common/half.wgsl"),
    piece!("common/index.wgsl"),
    piece!("core/gemm/operands_packed.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/c_put.wgsl"),
    piece!("layers/matmul/each.wgsl"),
    piece!("core/gemm/stage.wgsl"),
    piece!("core/gemm/tiled.wgsl"),
];
const PACKED_FOURS: &[Piece] = &[
    piece!("common/half.wgsl"),
    piece!("common/quad_f16.wgsl"),
    piece!("common/index.wgsl"),
    piece!("layers/matmul/fours_packed.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/c_put.wgsl"),
    piece!("layers/matmul/stage_fours.wgsl"),
    piece!("core/gemm/tiled.wgsl"),
];
const COOP_F16: &[Piece] = &[
    piece!("common/enable_f16.wgsl"),
    piece!("common/enable_cooperative.wgsl"),
    piece!("common/index.wgsl"),
    piece!("layers/matmul/coop_f16.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/put.wgsl"),
    piece!("layers/matmul/coop.wgsl"),
];
const COOP_F32: &[Piece] = &[
    piece!("common/enable_cooperative.wgsl"),
    piece!("common/index.wgsl"),
    piece!("layers/matmul/coop_f32.wgsl"),
    piece!("layers/matmul/access.wgsl"),
    piece!("layers/matmul/put.wgsl"),
    piece!("layers/matmul/coop.wgsl"),
];

/// Variants of a product of halves with a result of `result`, the one expected to win first. Cooperative matrices are stored
/// as they are, in f32.
pub(crate) fn variants(s: &Strided, result: DType, caps: &Caps) -> Vec<&'static str> {
    let cooperative = if result == DType::F32 { cooperative_variants(s, DType::F16, caps) } else { Vec::new() };
    [cooperative, gemm::half_variants(caps)].concat()
}

/// The cooperative variants, and the side of their matrices.
const COOPERATIVE: [(&str, usize); 2] = [("coop_16x16", 16), ("coop_8x8", 8)];

/// Whether a variant multiplies cooperative matrices.
pub(crate) fn is_cooperative(variant: &str) -> bool {
    COOPERATIVE.iter().any(|c| c.0 == variant)
}

/// The cooperative variants of a product of such operands.
pub(crate) fn cooperative_variants(s: &Strided, operands: DType, caps: &Caps) -> Vec<&'static str> {
    let offered = |side: usize| {
        let whole = [s.m, s.n, s.k].iter().all(|v| v.is_multiple_of(side));
        let shape = Cooperative { side: side as u32, operands };
        let typed = operands != DType::F16 || caps.f16;
        whole && typed && caps.subgroup.is_some() && caps.cooperative.contains(&shape)
    };
    COOPERATIVE.into_iter().filter(|(_, side)| offered(*side)).map(|(name, _)| name).collect()
}

/// The kernel of a variant of this file, and its grid over the outputs.
pub(crate) fn kernel(e: &Emit<'_>, s: &Strided) -> (Kernel, [u32; 2]) {
    const NAME: &str = "matmul.forward";
    let fours = s.fours();
    let pieces = match (e.variant, fours) {
        ("tiled_f16", true) => TILED_FOURS,
        ("tiled_f16", false) => TILED,
        ("packed", true) => PACKED_FOURS,
        ("packed", false) => PACKED,
        ("naive", _) => {
            let [x, y, _] = groups_1d((s.m * s.n).div_ceil(64));
            return (gemm::resulting(Kernel::new(NAME, "naive", NAIVE), e.y[0].dtype), [x, y]);
        }
        _ => return cooperative(e, s),
    };
    let made = s.made(e.variant, e.y[0].dtype);
    let (kernel, grid) = if fours {
        s.in_fours(NAME, e.variant, pieces, e.caps)
    } else {
        gemm::tiled(NAME, e.variant, pieces, (s.m, s.n), (Staging::Each, made), e.caps)
    };
    (gemm::resulting(kernel, made), grid)
}

/// As many matrices for a subgroup as divide the sizes, fewer where there would be too few subgroups.
fn cooperative(e: &Emit<'_>, s: &Strided) -> (Kernel, [u32; 2]) {
    let side = if e.variant == "coop_16x16" { 16 } else { 8 };
    let most = if s.z * s.m * s.n >= 1 << 18 { 4 } else { 2 };
    let tiles = |size: usize| [4, 2, 1].into_iter().find(|&t| t <= most && size.is_multiple_of(side * t)).unwrap_or(1);
    let (tm, tn) = (tiles(s.m), tiles(s.n));
    let pieces = if e.x[0].dtype == DType::F16 { COOP_F16 } else { COOP_F32 };
    let kernel = Kernel::new("matmul.forward", e.variant, pieces)
        .with("SIDE", side as u32)
        .with("TM", tm as u32)
        .with("TN", tn as u32)
        .with("LANES", e.caps.subgroup.map_or(32, |(_, largest)| largest));
    let [x, y, _] = groups_1d(s.m / (side * tm) * (s.n / (side * tn)));
    (kernel, [x, y])
}
