//! The matrix product that matmul and conv2d share: c[m, n] = Σ_k a[m, k] · b[k, n].
//!
//! Two families. For GPUs (`naive`, `tiled_64`, `tiled_128`) an op gives a piece of WGSL that says where operands come
//! from, so a convolution is an implicit product: nothing is unfolded in memory; matrices that lie at strides are
//! multiplied by strided.rs, in whole vec4 where they can be. For software adapters (`broadcast`)
//! operands are packed once into borders of zeros and whole vec4, then one subgroup owns a tile in registers; see
//! shaders/core/gemm/columns.wgsl for why. How a product ends (bias, batch norm, activation): epilogue.rs. Shaders:
//! shaders/core/gemm/.
//!
//! Predicted share of a GPU's f32 roof for large products, written down before any was at hand. An invocation holds 8 × 8
//! outputs; for each k it reads 64 bytes of workgroup memory for 128 flops. These reads are not the bound: lanes that read the
//! same bytes are served together, in 4 (tiled_64) or 6 (tiled_128) clocks of the 16 that a subgroup's 64 fused
//! multiply-adds take. An invocation holds 64 registers of sums, 16 of operands and about 30 of addresses (16 more of the
//! next tile in _vec4), so two workgroups of 256 fit a compute unit with 65,536 registers.
//!
//! | variant        | flops a byte of memory | predicted share |
//! |----------------|------------------------|-----------------|
//! | tiled_64       | 16                     | 40 to 50 %      |
//! | — in vec4      | 16                     | 48 to 58 %      |
//! | tiled_128      | 32                     | 50 to 57 %      |
//! | — in vec4      | 32                     | 52 to 62 %      |
//! | tiled_128_vec4 | 32                     | 55 to 65 %      |
//!
//! In vec4: operands that lie at strides in whole vec4 (strided.rs), guards kept. What a GPU's compiler makes of the text is
//! counted since (`wgslab kernels stats`, benches/README.md): multiply-adds are 66 to 91 % of the vector cycles of the walk,
//! so that waits for memory, which no compiler counts, decide how much of that is reached.
//! Published for such shapes: 65 to 67 % of peak (ggml-vulkan, f32 scalar), 69 % of cuBLAS for a block tile and 78 % with
//! vec4 loads (siboehm's ladder in CUDA), WGSL at 67 to 95 % of the same kernel in CUDA (gpu.cpp, cubecl).

use crate::base::DType;
use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::epilogue::Ending;
use crate::kernels::held::{self, Cells};
use crate::tape::{Emit, Slot};
use crate::{params, piece};

/// The tiles in the order they are expected to win: `m` × `n` outputs. The large ones need some 256 workgroups, or most of
/// a large GPU is idle.
pub(crate) fn tiles(m: usize, n: usize) -> [&'static str; 2] {
    if m >= 128 && m * n >= 1 << 22 { ["tiled_128", "tiled_64"] } else { ["tiled_64", "tiled_128"] }
}

/// The tiles of a convolution whose steps have one tap each: conv2d_taps.rs.
pub(crate) const TAPS: &str = "tiled_taps";

/// The side of a variant's tiles for `m` × `n` outputs; none where it has no tiles in workgroup memory.
pub(crate) fn side(variant: &str, m: usize, n: usize) -> Option<usize> {
    match variant {
        "tiled_64" => Some(64),
        "tiled_128" | "tiled_128_vec4" => Some(128),
        "tiled_f16" | "packed" | TAPS => side(tiles(m, n)[0], m, n), // one name for both sides
        _ => None,
    }
}

/// Variants in the order they are expected to win: `m` × `n` outputs.
pub(crate) fn variants(m: usize, n: usize, caps: &Caps) -> Vec<&'static str> {
    let mut v = tiles(m, n).to_vec();
    v.push("naive");
    if lanes(caps).is_some() {
        v.insert(if broadcasts(caps) { 0 } else { v.len() - 1 }, "broadcast");
    }
    v
}

/// Whether the broadcast kernels are expected to win: on a software adapter that has their lanes. On one that has not, the
/// tiles win as they do on a GPU.
pub(crate) fn broadcasts(caps: &Caps) -> bool {
    caps.software && lanes(caps).is_some()
}

/// Variants of a product of halves: `tiled_f16` needs `shader-f16`; `packed` reads words of two and runs everywhere.
pub(crate) fn half_variants(caps: &Caps) -> Vec<&'static str> {
    if caps.f16 { vec!["tiled_f16", "packed", "naive"] } else { vec!["packed", "naive"] }
}

/// Lanes of the broadcast kernels: the subgroup must be of one known size that divides the tiles.
pub(crate) fn lanes(caps: &Caps) -> Option<u32> {
    caps.fixed_subgroup().filter(|l| [8, 16].contains(l))
}

/// Rows of a broadcast tile: the smallest that holds `m`, at most 64, so that narrow layers waste little.
pub(crate) fn tile_rows(m: usize, lanes: u32) -> u32 {
    [8, 16, 32].into_iter().find(|&t| t >= m as u32 && t >= lanes).unwrap_or(64)
}

params! {
    /// Of shaders/core/gemm/columns.wgsl; strides as described there.
    #[derive(Default)]
    pub(crate) struct Columns {
        m: u32, columns: u32, m_tiles: u32, a_panel: u32,
        u: u32, v: u32, b_n: u32, b_u: u32, b_v: u32, b_start: u32,
        taps_i: u32, taps_j: u32, b_i: u32, b_j: u32,
        a_start: u32, a_i: u32, a_j: u32, k4: u32,
        c_n: u32, c_m: u32, c_u: u32, c_v: u32, c_start: u32,
        a_z: u32, b_z: u32, c_z: u32,
    }
}

const STORE_SCALAR: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("core/gemm/columns.wgsl"), piece!("core/gemm/store_scalar.wgsl")];
const STORE_VEC4: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("core/gemm/columns.wgsl"), piece!("core/gemm/store_vec4.wgsl")];

/// Launches the columns kernel over `batches` products; `a` and `b` are packed. `p.m_tiles` is filled in here.
pub(crate) fn columns(
    e: &mut Emit<'_>,
    name: &'static str,
    (a, b, c): (Slot, Slot, Slot),
    mut p: Columns,
    tile: (u32, u32),
    batches: u32,
    ending: &Ending,
) {
    let (rows, lanes) = tile;
    p.m_tiles = p.m.div_ceil(rows);
    let plane = p.u * p.v;
    let contiguous = p.c_v == 1 && (p.u == 1 || p.c_u == p.v);
    let whole = [plane, p.c_n, p.c_m, p.c_start, p.c_z].iter().all(|s| s % 4 == 0);
    let whole = contiguous && whole;
    let pieces = if whole { STORE_VEC4 } else { STORE_SCALAR };
    let kernel = Kernel::new(name, "broadcast", pieces).with("TM", rows).with("L", lanes);
    let tiles = p.m_tiles as usize * (p.columns as usize).div_ceil(4 * lanes as usize);
    let [x, y, _] = groups_1d(tiles);
    let (kernel, buffers) = ending.of(kernel, &[a, b, c], whole);
    e.launch(kernel, &buffers, &p, [x, y, batches]);
}

params! {
    /// Of shaders/core/gemm/pack.wgsl.
    #[derive(Default)]
    pub(crate) struct Pack {
        vectors: u32, outer: u32, u: u32, v: u32, inner4: u32,
        u0: u32, v0: u32, u_len: u32, v_len: u32, e_len: u32,
        x_start: u32, x_o: u32, x_u: u32, x_v: u32, x_e: u32,
    }
}

const PACK: &[Piece] = &[piece!("common/index.wgsl"), piece!("core/gemm/pack.wgsl")];
const PACK_QUADS: &[Piece] = &[piece!("common/index.wgsl"), piece!("core/gemm/pack_quads.wgsl")];

/// Launches a pack into as many panels as `p.e_len` fills; `p.vectors` is filled in here.
pub(crate) fn pack(e: &mut Emit<'_>, name: &'static str, x: Slot, y: Slot, mut p: Pack) {
    let panels = p.e_len.div_ceil(4 * p.inner4);
    p.vectors = panels * p.outer * p.u * p.v * p.inner4;
    let whole = [p.v_len, p.x_start, p.x_o, p.x_u, p.x_e].iter().all(|s| s % 4 == 0);
    if p.x_v == 1 && whole {
        let blocks = p.v0.div_ceil(4) + (p.v - p.v0).div_ceil(4);
        let quads = panels * p.outer * p.u * blocks * p.inner4;
        let grid = groups_1d((quads as usize).div_ceil(64));
        e.launch(Kernel::new(name, e.variant, PACK_QUADS), &[x, y], &p, grid);
        return;
    }
    let grid = groups_1d((p.vectors as usize).div_ceil(64));
    e.launch(Kernel::new(name, e.variant, PACK), &[x, y], &p, grid);
}

params! {
    /// Of shaders/core/gemm/across.wgsl.
    pub(crate) struct Across {
        m: u32, m_tiles: u32, n4: u32, k: u32,
        a_panel: u32, a_z: u32,
    }
}

const ACROSS: &[Piece] = &[piece!("common/index.wgsl"), piece!("core/gemm/across.wgsl")];

/// Launches the across kernel over `z` products; `a` is packed and b [z, k, n] lies as it is, n a multiple of 4.
/// `p.m_tiles` is filled in here.
pub(crate) fn across(
    e: &mut Emit<'_>,
    name: &'static str,
    (a, b, c): (Slot, Slot, Slot),
    mut p: Across,
    tile: (u32, u32),
    z: u32,
    ending: &Ending,
) {
    p.m_tiles = p.m.div_ceil(tile.0);
    let kernel = Kernel::new(name, "broadcast", ACROSS).with("TM", tile.0).with("L", tile.1);
    let [x, y, _] = groups_1d((p.m_tiles * p.n4.div_ceil(tile.1)) as usize);
    let (kernel, buffers) = ending.of(kernel, &[a, b, c], true);
    e.launch(kernel, &buffers, &p, [x, y, z]);
}

params! {
    /// Of shaders/core/gemm/rows.wgsl.
    #[derive(Default)]
    pub(crate) struct Rows {
        m: u32, m_tiles: u32, n4: u32, images: u32,
        rows: u32, q4: u32, a_panel: u32, b_panel: u32,
        b_image: u32, b_row: u32, b_q: u32, b_z: u32,
        c: u32, c4: u32, r: u32, s: u32,
    }
}

const ROWS: &[Piece] = &[piece!("core/gemm/rows.wgsl")];

/// Launches the rows kernel; `a` and `b` are packed. `p.m_tiles` is filled in here.
pub(crate) fn rows(e: &mut Emit<'_>, name: &'static str, (a, b, c): (Slot, Slot, Slot), mut p: Rows, tile: (u32, u32)) {
    p.m_tiles = p.m.div_ceil(tile.0);
    let kernel = Kernel::new(name, "broadcast", ROWS).with("TM", tile.0).with("L", tile.1);
    e.launch(kernel, &[a, b, c], &p, [p.m_tiles * p.n4.div_ceil(tile.1), 1, p.r]);
}

/// How the pieces of a tiled variant fill its tiles.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Staging {
    /// Whole vec4 along memory: layers/matmul/stage_fours.wgsl.
    Fours,
    /// Numbers one by one, those of b along n: core/gemm/stage.wgsl.
    Each,
    /// Numbers one by one along k: core/gemm/stage_along_k.wgsl.
    AlongK,
}

/// The k of a step of the walk where numbers are staged one by one.
pub(crate) const STEP: u32 = 8;

/// The kernel of a tiled variant and its grid over `m` × `n` outputs, which it makes as `made`.
pub(crate) fn tiled(
    name: &'static str,
    variant: &'static str,
    pieces: &[Piece],
    (m, n): (usize, usize),
    (staging, made): (Staging, DType),
    caps: &Caps,
) -> (Kernel, [u32; 2]) {
    let side = side(variant, m, n).unwrap_or(64);
    // Where neighbours write k apart, rows that are one vec4 longer put them into different banks. Tiles of 128 with 16 k
    // fill the 16 KiB that every adapter has; numbers that are staged one by one need registers, so they take 8 k.
    let k = if staging == Staging::Fours { 16 } else { STEP };
    let [a, b] = match staging {
        Staging::Fours => [0, 0],
        Staging::Each => [4, 0],
        Staging::AlongK => [4, 4],
    };
    // Which columns the four of a vec4 of b are. Where they are read and written one by one, those of neighbouring lanes lie
    // side by side, so that the lanes of one access touch the same lines of memory. Whole vec4 and words of two halves are
    // neighbours in one lane.
    const WIDTH: u32 = 8; // columns of a lane
    let lanes = side as u32 / WIDTH;
    let [next, apart] = if staging == Staging::Fours || made == DType::F16 { [4, 1] } else { [1, lanes] };
    // How many steps through a tile are text. A GPU gets all of them, because naga emits no loop that its compiler can
    // unroll. The compiler of a software adapter takes five times as long for that and gains nothing.
    let unroll = if caps.software { 1 } else { k };
    let kernel = Kernel::new(name, variant, pieces)
        .with("BM", side as u32)
        .with("BN", side as u32)
        .with("BK", k)
        .with("LDA", side as u32 + a)
        .with("LDB", side as u32 + b)
        .with("UNROLL", unroll)
        .with("TM", 8)
        .with("TN", WIDTH)
        .with("NEXT", next)
        .with("APART", apart)
        .with("THREADS", (side * side / 64) as u32);
    let [x, y, _] = groups_1d(m.div_ceil(side) * n.div_ceil(side));
    (kernel, [x, y])
}

/// Single numbers, and how four columns of a row of tiles are put.
const ONE: &[Piece] = &[piece!("common/one.wgsl")];
const PUT4_F32: &[Piece] = &[piece!("core/gemm/put4_f32.wgsl")];
const PUT4_F16: &[Piece] = &[piece!("core/gemm/put4_f16.wgsl")];

/// The elements of what a launch makes in `slot`: slices are f32.
pub(crate) fn made_of(e: &Emit<'_>, slot: Slot) -> DType {
    match slot {
        Slot::Out(i) => e.y[i].dtype,
        _ => DType::F32,
    }
}

/// `kernel`, which puts numbers of `dtype` one by one in the buffer of binding `at`.
fn putting(kernel: Kernel, dtype: DType, at: u32) -> Kernel {
    held::made(kernel.followed_by(ONE), Cells::Each, dtype, at)
}

/// The naive or tiled `kernel`, whose result is of `dtype`: its third buffer.
pub(crate) fn resulting(kernel: Kernel, dtype: DType) -> Kernel {
    by_fours(putting(kernel, dtype, 3), dtype)
}

/// The naive or tiled `kernel` with how four columns of a row are put, of which the naive one knows none.
pub(crate) fn by_fours(kernel: Kernel, dtype: DType) -> Kernel {
    match (kernel.variant != "naive", dtype) {
        (false, _) => kernel,
        (true, DType::F16) => kernel.followed_by(PUT4_F16),
        (true, _) => kernel.followed_by(PUT4_F32),
    }
}

params! {
    struct SumSlices { elements: u32, slices: u32, columns: u32 }
}

const SUM_SLICES: &[Piece] = &[piece!("common/index.wgsl"), piece!("core/gemm/sum_slices.wgsl")];

/// Launches the sum of `slices` partial products of `elements` each.
pub(crate) fn sum_slices(e: &mut Emit<'_>, name: &'static str, x: Slot, y: Slot, elements: usize, slices: usize) {
    end_slices(e, name, [x, y], (elements, elements), slices, &Ending::NONE);
}

/// As [`sum_slices`] of a product in rows of `columns`, which then ends.
pub(crate) fn end_slices(
    e: &mut Emit<'_>,
    name: &'static str,
    [x, y]: [Slot; 2],
    (elements, columns): (usize, usize),
    slices: usize,
    ending: &Ending,
) {
    let kernel = putting(Kernel::new(name, "portable", SUM_SLICES), made_of(e, y), 2);
    let (kernel, buffers) = ending.of(kernel, &[x, y], false);
    let params = SumSlices { elements: elements as u32, slices: slices as u32, columns: columns as u32 };
    e.launch(kernel, &buffers, &params, groups_1d(elements.div_ceil(64)));
}

/// How many slices the k of a product in tiles of `side` is cut into so that a GPU has enough workgroups: a function of
/// the shape alone, so that the sum's order, and with it every bit, is the same everywhere the variant is.
/// More than 512 would begin a second round on most GPUs, as a test below works out.
pub(crate) fn slices(side: usize, m: usize, n: usize, k: usize) -> usize {
    let tiles = m.div_ceil(side) * n.div_ceil(side);
    let enough = if side == 128 { 256 } else { 512 };
    let wanted = (enough / tiles.max(1)).clamp(1, k.div_ceil(512).max(1));
    k.div_ceil(k.div_ceil(wanted).max(1)).max(1) // as many as slices of equal length fill
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why [`slices`] wants 512 workgroups of tiles of 64 and not 1,024, which the largest GPUs hold: the gradients to the weights of
    /// a ResNet-18 on images of 32 × 32, whose layers have `c` channels and planes of `side`².
    #[test]
    fn twice_the_slices_cost_more_than_they_fill() {
        let layers = [(64, 32), (128, 16), (256, 8), (512, 4)];
        // Workgroups, and MB of partial sums that are written and read again.
        let cost = |c: usize, side: usize, images: usize, doubled: bool| {
            let (m, n, k) = (c, 9 * c, images * side * side);
            let tiles = m.div_ceil(64) * n.div_ceil(64);
            let slices = match doubled {
                true => (1024 / tiles).clamp(1, k.div_ceil(512)),
                false => slices(64, m, n, k),
            };
            (tiles * slices, if slices > 1 { slices * m * n * 8 / 1_000_000 } else { 0 })
        };
        let of = |images, doubled| layers.map(|(c, side)| cost(c, side, images, doubled));
        assert_eq!(of(512, false), [(504, 16), (504, 16), (432, 14), (576, 0)]);
        assert_eq!(of(512, true), [(1017, 33), (1008, 33), (1008, 33), (576, 0)]);
        assert_eq!(of(64, false)[0], (504, 16));
        assert_eq!(of(64, true)[0], (1017, 33));
    }
}
