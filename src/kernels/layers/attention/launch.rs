//! The launches of attention: pieces, parameters and grids of each variant.

use super::{Attention, Sizes};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::units;
use crate::tape::{Emit, Slot, Type};
use crate::{params, piece};

params! {
    struct Params { heads: u32, total: u32, t: u32, s: u32, width: u32, blocks: u32, causal: u32, scale: f32 }
}
params! {
    struct Repad { rows: u32, length: u32, padded: u32 }
}
params! {
    struct Delta { rows: u32, vectors: u32 }
}
params! {
    struct Product { total: u32, rows: u32, inner: u32, columns: u32, w_head: u32, w_row: u32, w_inner: u32 }
}

const PARAMS: &[Piece] = &[piece!("common/index.wgsl"), piece!("layers/attention/params.wgsl")];
/// Keys that all count, and keys with lengths.
const ALL_KEYS: &[Piece] = &[piece!("layers/attention/all_keys.wgsl")];
const KEY_LENGTHS: &[Piece] = &[piece!("layers/attention/key_lengths.wgsl")];
const FORWARD_ROWS: &[Piece] = &[piece!("layers/attention/forward_rows.wgsl")];
const FORWARD_TILES: &[Piece] = &[piece!("layers/attention/tile.wgsl"), piece!("layers/attention/forward_tiles.wgsl")];
const GRAD_QUERY_ROWS: &[Piece] = &[piece!("layers/attention/grad_query_rows.wgsl")];
const GRAD_QUERY_TILES: &[Piece] =
    &[piece!("layers/attention/tile.wgsl"), piece!("layers/attention/grad_query_tiles.wgsl")];
const GRAD_KEY_ROWS: &[Piece] = &[piece!("layers/attention/grad_key_rows.wgsl")];
const GRAD_KEY_TILES: &[Piece] =
    &[piece!("layers/attention/tile.wgsl"), piece!("layers/attention/grad_key_tiles.wgsl")];
const NAIVE_SCORES: &[Piece] = &[piece!("layers/attention/naive_scores.wgsl")];
const NAIVE_GRAD_SCORES: &[Piece] = &[piece!("layers/attention/naive_grad_scores.wgsl")];
const NAIVE_SOFTMAX: &[Piece] = &[piece!("layers/attention/naive_softmax.wgsl")];
const NAIVE_PRODUCT: &[Piece] = &[piece!("common/index.wgsl"), piece!("layers/attention/naive_product.wgsl")];
const REPAD: &[Piece] = &[piece!("common/index.wgsl"), piece!("layers/attention/repad.wgsl")];
const DELTA: &[Piece] = &[piece!("layers/attention/delta.wgsl")];

impl Sizes {
    /// A matrix of scores for every head.
    pub(super) fn scores(self) -> Type {
        Type::f32([self.total, self.t, self.s])
    }

    /// `rows` rows of every head, padded to whole vec4.
    pub(super) fn padded(self, rows: usize) -> Type {
        Type::f32([self.total, rows, self.e.next_multiple_of(4)])
    }
}

/// Which rows own a kernel's invocations or workgroups.
#[derive(Clone, Copy)]
enum Owner {
    Queries,
    Keys,
}

/// What the variant that runs needs of a kernel: pieces of `rows` and of `tiles`, and the tile kernel's products and
/// sums.
struct Form {
    rows: &'static [Piece],
    tiles: &'static [Piece],
    owner: Owner,
    pairs: u32,
    sums: u32,
}

/// Launches kernels of one attention.
pub(super) struct Launcher<'a, 'b> {
    e: &'a mut Emit<'b>,
    z: Sizes,
    causal: bool,
    scale: f32,
    lengths: Option<Slot>,
}

impl<'a, 'b> Launcher<'a, 'b> {
    pub fn new(e: &'a mut Emit<'b>, z: Sizes, op: &Attention, lengths: Option<Slot>) -> Self {
        let scale = op.scale.unwrap_or((1.0 / (z.e as f64).sqrt()) as f32);
        Launcher { e, z, causal: op.causal, scale, lengths }
    }

    /// Launches over blocks of rows, or over single elements where `blocks` is 0.
    fn launch(&mut self, kernel: Kernel, buffers: &[Slot], width: usize, blocks: usize, groups: usize) {
        let z = self.z;
        let [heads, total, t, s, width, blocks] = [z.heads, z.total, z.t, z.s, width, blocks].map(|v| v as u32);
        let params = Params { heads, total, t, s, width, blocks, causal: u32::from(self.causal), scale: self.scale };
        self.e.launch(kernel, buffers, &params, groups_1d(groups));
    }

    /// The kernel of these pieces, and its buffers with the lengths behind them, where there are some.
    fn with_lengths(&self, name: &'static str, own: &[Piece], buffers: &[Slot]) -> (Kernel, Vec<Slot>) {
        let all: Vec<Slot> = buffers.iter().copied().chain(self.lengths).collect();
        let keys = if self.lengths.is_some() { KEY_LENGTHS } else { ALL_KEYS };
        let kernel = Kernel::new(name, self.e.variant, PARAMS).followed_by(keys).followed_by(own);
        (kernel.with("LENGTHS", all.len() as u32), all)
    }

    /// A kernel of the chosen variant over rows of whole vec4.
    fn blocks(&mut self, name: &'static str, form: &Form, buffers: &[Slot]) {
        let (z, width) = (self.z, self.z.e.div_ceil(4));
        let rows = match form.owner {
            Owner::Queries => z.t,
            Owner::Keys => z.s,
        };
        if self.e.variant == "rows" {
            let own: usize = 4; // measured: 2 cost 1.3 to 1.6 times as much, 8 save little and take twice as long to build
            let (kernel, buffers) = self.with_lengths(name, form.rows, buffers);
            let blocks = rows.div_ceil(own);
            let kernel = kernel.with("TI", own as u32).with("TJ", 8);
            return self.launch(kernel, &buffers, width, blocks, (z.total * blocks).div_ceil(8));
        }
        let eights = width.div_ceil(8);
        // Two sums of a head of more than 32 do not fit in registers for as many rows: RADV spilled some of a head of 64.
        let own: usize = if form.sums > 1 && eights > 1 { 2 } else { 4 };
        let (kernel, buffers) = self.with_lengths(name, form.tiles, buffers);
        let blocks = rows.div_ceil(16 * own);
        let kernel = kernel.with("R", own as u32).with("EG", eights as u32);
        let kernel = kernel.with("PAIRS", form.pairs).with("SUMS", form.sums);
        self.launch(kernel, &buffers, width, blocks, z.total * blocks);
    }

    /// q, k, v -> y, lse, in rows of whole vec4.
    pub fn forward(&mut self, buffers: &[Slot]) {
        let form = Form { rows: FORWARD_ROWS, tiles: FORWARD_TILES, owner: Owner::Queries, pairs: 1, sums: 1 };
        self.blocks("attention.forward", &form, buffers);
    }

    /// q, k, v, dy and stats -> dq, dk, dv, in rows of whole vec4.
    pub fn grad(&mut self, [q, k, v, dy]: [Slot; 4], stats: Slot, [dq, dk, dv]: [Slot; 3]) {
        let form = Form { rows: GRAD_QUERY_ROWS, tiles: GRAD_QUERY_TILES, owner: Owner::Queries, pairs: 2, sums: 1 };
        self.blocks("attention.grad_query", &form, &[q, k, v, dy, stats, dq]);
        let form = Form { rows: GRAD_KEY_ROWS, tiles: GRAD_KEY_TILES, owner: Owner::Keys, pairs: 2, sums: 2 };
        self.blocks("attention.grad_key", &form, &[q, k, v, dy, stats, dk, dv]);
    }

    /// y, lse, dy -> stats.
    pub fn delta(&mut self, buffers: &[Slot]) {
        let (rows, e) = (self.z.total * self.z.t, self.z.e);
        let whole = e.is_multiple_of(4);
        let vectors = if whole { e / 4 } else { e };
        let params = Delta { rows: rows as u32, vectors: vectors as u32 };
        let kernel = Kernel::new("attention.delta", "portable", units(whole)).followed_by(DELTA);
        self.e.launch(kernel, buffers, &params, groups_1d(rows.div_ceil(64)));
    }

    /// `rows` rows of every head from their own length to whole vec4.
    pub fn pad(&mut self, x: Slot, y: Slot, rows: usize) {
        self.repad(x, y, rows, [self.z.e, self.z.e.next_multiple_of(4)]);
    }

    /// And back.
    pub fn unpad(&mut self, x: Slot, y: Slot, rows: usize) {
        self.repad(x, y, rows, [self.z.e.next_multiple_of(4), self.z.e]);
    }

    fn repad(&mut self, x: Slot, y: Slot, rows: usize, [length, padded]: [usize; 2]) {
        let rows = self.z.total * rows;
        let params = Repad { rows: rows as u32, length: length as u32, padded: padded as u32 };
        let kernel = Kernel::new("attention.repad", "portable", REPAD);
        self.e.launch(kernel, &[x, y], &params, groups_1d((rows * padded).div_ceil(64)));
    }

    /// An invocation a score.
    fn naive_scores(&mut self, name: &'static str, own: &[Piece], buffers: &[Slot]) {
        let (kernel, buffers) = self.with_lengths(name, own, buffers);
        self.launch(kernel, &buffers, self.z.e, 0, (self.z.total * self.z.t * self.z.s).div_ceil(64));
    }

    /// y = w·x, or wᵀ·x for sums over the queries, in every head.
    fn naive_product(&mut self, name: &'static str, [w, x, y]: [Slot; 3], transposed: bool) {
        let Sizes { total, t, s, e, .. } = self.z;
        let (rows, inner, w_row, w_inner) = if transposed { (s, t, 1, s) } else { (t, s, s, 1) };
        let [total, columns, w_head] = [total, e, t * s].map(|v| v as u32);
        let groups = groups_1d((self.z.total * rows * e).div_ceil(64));
        let [rows, inner, w_row, w_inner] = [rows, inner, w_row, w_inner].map(|v| v as u32);
        let params = Product { total, rows, inner, columns, w_head, w_row, w_inner };
        self.e.launch(Kernel::new(name, "naive", NAIVE_PRODUCT), &[w, x, y], &params, groups);
    }

    /// Forward with the scores in `work`.
    pub fn naive_forward(&mut self, [q, k, v]: [Slot; 3], work: Slot, [y, lse]: [Slot; 2]) {
        self.naive_scores("attention.scores", NAIVE_SCORES, &[q, k, work]);
        let kernel = Kernel::new("attention.softmax", "naive", PARAMS).followed_by(NAIVE_SOFTMAX);
        self.launch(kernel, &[work, lse], self.z.e, 0, (self.z.total * self.z.t).div_ceil(64));
        self.naive_product("attention.forward", [work, v, y], false);
    }

    /// Gradients with P and dS in memory.
    pub fn naive_grad(&mut self, [q, k, v, dy]: [Slot; 4], [stats, p, ds]: [Slot; 3], [dq, dk, dv]: [Slot; 3]) {
        self.naive_scores("attention.grad_scores", NAIVE_GRAD_SCORES, &[q, k, v, dy, stats, p, ds]);
        self.naive_product("attention.grad_query", [ds, k, dq], false);
        self.naive_product("attention.grad_key", [ds, q, dk], true);
        self.naive_product("attention.grad_value", [p, dy, dv], true);
    }
}
