//! The launches of attention: pieces, parameters and grids of each variant.

use super::{Attention, Sizes};
use crate::base::Shape;
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::held::{self, Cells};
use crate::tape::{Emit, Slot, Type};
use crate::{params, piece};

params! {
    struct Params {
        heads: u32,
        total: u32,
        t: u32,
        s: u32,
        width: u32,
        blocks: u32,
        causal: u32,
        scale: f32,
        q: Strides,
        k: Strides,
        v: Strides,
        y: Strides,
    }
}
params! {
    struct Repad { x: Strides, y: Strides, heads: u32, total: u32, rows: u32, length: u32, padded: u32 }
}
params! {
    struct Product {
        heads: u32,
        total: u32,
        rows: u32,
        inner: u32,
        columns: u32,
        w_head: u32,
        w_row: u32,
        w_inner: u32,
        x: Strides,
        y: Strides,
    }
}

const PLACES: &[Piece] = &[piece!("common/index.wgsl"), piece!("layers/attention/strides.wgsl")];
const PARAMS: &[Piece] =
    &[piece!("common/index.wgsl"), piece!("layers/attention/strides.wgsl"), piece!("layers/attention/params.wgsl")];
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
const NAIVE_PRODUCT: &[Piece] = &[piece!("layers/attention/naive_product.wgsl")];
const REPAD: &[Piece] = &[piece!("layers/attention/repad.wgsl")];
const DELTA: &[Piece] = &[piece!("layers/attention/delta.wgsl")];

/// Where the rows of one of q, k, v and y lie, in elements or vec4, as shaders/layers/attention/strides.wgsl says: the first
/// row of all, and how far apart samples, heads and rows are.
type Strides = [u32; 4];

/// What has rows, and its gradient, which lies alike.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Part {
    Q,
    K,
    V,
    Y,
}

impl Sizes {
    /// The same as the kernels of whole vec4 see it: workspaces of padded rows, or the tensors of the op themselves.
    fn whole(self) -> Sizes {
        let e = self.e.next_multiple_of(4);
        Sizes { e, packed: self.packed && e == self.e, ..self }
    }

    /// Rows of `part` in a head.
    fn rows(self, part: Part) -> usize {
        if matches!(part, Part::Q | Part::Y) { self.t } else { self.s }
    }

    /// Where rows of `part` lie, counted in `unit` elements, of which a head is a multiple.
    fn strides(self, part: Part, unit: usize) -> Strides {
        let (row, rows) = (self.e / unit, self.rows(part));
        let of_all = self.heads * row;
        let [first, sample, head, row] = match (self.packed, part) {
            (false, _) => [0, rows * of_all, rows * row, row],
            (true, Part::Y) => [0, rows * of_all, row, of_all],
            (true, _) => [part as usize * of_all, 3 * rows * of_all, row, 3 * of_all],
        };
        [first, sample, head, row].map(|v| v as u32)
    }

    /// A matrix of scores for every head.
    pub(super) fn scores(self) -> Type {
        Type::f32([self.total, self.t, self.s])
    }

    /// `rows` rows of every head, padded to whole vec4.
    pub(super) fn padded(self, rows: usize) -> Type {
        let shape = Shape::from([self.total, rows, self.whole().e]);
        Type { shape, dtype: self.dtype }
    }
}

/// Which rows own a kernel's invocations or workgroups.
#[derive(Clone, Copy)]
enum Owner {
    Queries,
    Keys,
}

/// What the variant that runs needs of a kernel: pieces of `rows` and of `tiles`, and the tile kernel's products and
/// halves.
struct Form {
    rows: &'static [Piece],
    tiles: &'static [Piece],
    owner: Owner,
    pairs: u32,
    halves: u32,
}

const FORWARD: Form = Form { rows: FORWARD_ROWS, tiles: FORWARD_TILES, owner: Owner::Queries, pairs: 1, halves: 1 };
const GRAD_QUERY: Form =
    Form { rows: GRAD_QUERY_ROWS, tiles: GRAD_QUERY_TILES, owner: Owner::Queries, pairs: 2, halves: 1 };
const GRAD_KEY: Form = Form { rows: GRAD_KEY_ROWS, tiles: GRAD_KEY_TILES, owner: Owner::Keys, pairs: 1, halves: 2 };

impl Form {
    /// How many rows own the kernel, and how many are walked.
    fn sides(&self, z: Sizes) -> [usize; 2] {
        match self.owner {
            Owner::Queries => [z.t, z.s],
            Owner::Keys => [z.s, z.t],
        }
    }

    /// Rows of a lane of the tile kernel: $R owned and $N walked ones, of which a tile has eight times as many.
    fn tile(&self, z: Sizes) -> [usize; 2] {
        let [owned, walked] = self.sides(z);
        // The largest heads of two halves would take more than 16 KiB of workgroup memory.
        let most = if self.halves > 1 && z.e > 96 { 3 } else { 4 };
        [eighths(owned, most), eighths(walked, 4)]
    }
}

/// How many eights of rows a tile has: all of them, or of `most` and 3 the one that leaves fewer rows idle. A tile of 3 does
/// more work for each row, so it must save a tenth of them.
fn eighths(rows: usize, most: usize) -> usize {
    let all = rows.div_ceil(8);
    let padded = |r: usize| all.next_multiple_of(r);
    if all <= most {
        return all;
    }
    if 10 * padded(3) <= 9 * padded(most) { 3 } else { most }
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

    /// Launches over blocks of rows, or over single elements where `blocks` is 0. Rows are those of `z`, in units of `unit`
    /// elements.
    fn launch(&mut self, kernel: Kernel, buffers: &[Slot], (z, unit): (Sizes, usize), blocks: usize, groups: usize) {
        let [heads, total, t, s, width, blocks] = [z.heads, z.total, z.t, z.s, z.e / unit, blocks].map(|v| v as u32);
        let (causal, scale) = (u32::from(self.causal), self.scale);
        let [q, k, v, y] = [Part::Q, Part::K, Part::V, Part::Y].map(|part| z.strides(part, unit));
        let params = Params { heads, total, t, s, width, blocks, causal, scale, q, k, v, y };
        self.e.launch(kernel, buffers, &params, groups_1d(groups));
    }

    /// The kernel of these pieces, and its buffers with the lengths behind them, where there are some.
    fn with_lengths(&self, name: &'static str, own: &[Piece], buffers: &[Slot]) -> (Kernel, Vec<Slot>) {
        let all: Vec<Slot> = buffers.iter().copied().chain(self.lengths).collect();
        let keys = if self.lengths.is_some() { KEY_LENGTHS } else { ALL_KEYS };
        let kernel = Kernel::new(name, self.e.variant, PARAMS).followed_by(keys).followed_by(own);
        (kernel.with("LAST", buffers.len() as u32), all)
    }

    /// A kernel of the chosen variant over rows of whole vec4.
    fn blocks(&mut self, name: &'static str, form: &Form, buffers: &[Slot]) {
        let z = self.z.whole();
        let [rows, _] = form.sides(z);
        if self.e.variant == "rows" {
            let own: usize = 4; // measured: 2 cost 1.3 to 1.6 times as much, 8 save little and take twice as long to build
            let (kernel, buffers) = self.with_lengths(name, form.rows, buffers);
            let blocks = rows.div_ceil(own);
            let kernel = kernel.with("TI", own as u32).with("TJ", 8);
            return self.launch(kernel, &buffers, (z, 4), blocks, (z.total * blocks).div_ceil(8));
        }
        let [own, walked] = form.tile(z);
        let (kernel, buffers) = self.with_lengths(name, form.tiles, buffers);
        let kernel = kernel.followed_by(held::quads(z.dtype));
        let blocks = rows.div_ceil(8 * own);
        let kernel = kernel.with("R", own as u32).with("N", walked as u32).with("EG", z.e.div_ceil(32) as u32);
        let kernel = kernel.with("PAIRS", form.pairs).with("HALVES", form.halves);
        self.launch(kernel, &buffers, (z, 4), blocks, z.total * blocks);
    }

    /// q, k, v -> y, lse, in rows of whole vec4.
    pub fn forward(&mut self, buffers: &[Slot]) {
        self.blocks("attention.forward", &FORWARD, buffers);
    }

    /// q, k, v, dy and stats -> dq, dk, dv, in rows of whole vec4.
    pub fn grad(&mut self, [q, k, v, dy]: [Slot; 4], stats: Slot, [dq, dk, dv]: [Slot; 3]) {
        self.blocks("attention.grad_query", &GRAD_QUERY, &[q, k, v, dy, stats, dq]);
        // A buffer that a kernel writes is bound once.
        let both = if dk == dv { vec![dk] } else { vec![dk, dv] };
        self.blocks("attention.grad_key", &GRAD_KEY, &[&[q, k, v, dy, stats], &both[..]].concat());
    }

    /// y, lse, dy -> stats.
    pub fn delta(&mut self, buffers: &[Slot]) {
        let z = self.z;
        let whole = z.e.is_multiple_of(4);
        let kernel = held::over_rows("attention.delta", "portable", whole, z.dtype);
        let kernel = held::with(kernel, PARAMS).followed_by(DELTA);
        self.launch(kernel, buffers, (z, if whole { 4 } else { 1 }), 0, (z.total * z.t).div_ceil(64));
    }

    /// The rows of `part`, in `x`, to a workspace of whole vec4.
    pub fn pad(&mut self, x: Slot, wide: Slot, part: Part) {
        self.repad([x, wide], [self.z, self.z.whole()], part);
    }

    /// And back.
    pub fn unpad(&mut self, wide: Slot, x: Slot, part: Part) {
        self.repad([wide, x], [self.z.whole(), self.z], part);
    }

    fn repad(&mut self, buffers: [Slot; 2], [from, to]: [Sizes; 2], part: Part) {
        let [x, y] = [from, to].map(|z| z.strides(part, 1));
        let rows = to.rows(part);
        let groups = groups_1d((to.total * rows * to.e).div_ceil(64));
        let [heads, total, rows, length, padded] = [to.heads, to.total, rows, from.e, to.e].map(|v| v as u32);
        let params = Repad { x, y, heads, total, rows, length, padded };
        let kernel = self.one_by_one(Kernel::new("attention.repad", "portable", PLACES), Some(2)).followed_by(REPAD);
        self.e.launch(kernel, &buffers, &params, groups);
    }

    /// `kernel` with what reads q, k, v and their like one by one, and makes one at the binding `made`.
    fn one_by_one(&self, kernel: Kernel, made: Option<u32>) -> Kernel {
        let kernel = held::floats(kernel, self.z.dtype);
        match made {
            Some(at) => held::made(kernel, Cells::Each, self.z.dtype, at),
            None => kernel,
        }
    }

    /// An invocation a score.
    fn naive_scores(&mut self, name: &'static str, own: &[Piece], buffers: &[Slot]) {
        let (kernel, buffers) = self.with_lengths(name, own, buffers);
        let kernel = self.one_by_one(kernel, None);
        self.launch(kernel, &buffers, (self.z, 1), 0, (self.z.total * self.z.t * self.z.s).div_ceil(64));
    }

    /// y = w·x, or wᵀ·x where y has a row for each key, in every head. `parts` say where rows of x and y lie.
    fn naive_product(&mut self, name: &'static str, buffers: [Slot; 3], parts: [Part; 2]) {
        let z = self.z;
        let [x, y] = parts.map(|part| z.strides(part, 1));
        let [inner, rows] = parts.map(|part| z.rows(part));
        let transposed = matches!(parts[1], Part::K | Part::V);
        let (w_row, w_inner) = if transposed { (1, z.s) } else { (z.s, 1) };
        let groups = groups_1d((z.total * rows * z.e).div_ceil(64));
        let [heads, total, rows, inner, columns] = [z.heads, z.total, rows, inner, z.e].map(|v| v as u32);
        let [w_head, w_row, w_inner] = [z.t * z.s, w_row, w_inner].map(|v| v as u32);
        let params = Product { heads, total, rows, inner, columns, w_head, w_row, w_inner, x, y };
        let kernel = self.one_by_one(Kernel::new(name, "naive", PLACES), Some(3)).followed_by(NAIVE_PRODUCT);
        self.e.launch(kernel, &buffers, &params, groups);
    }

    /// Forward with the scores in `work`.
    pub fn naive_forward(&mut self, [q, k, v]: [Slot; 3], work: Slot, [y, lse]: [Slot; 2]) {
        self.naive_scores("attention.scores", NAIVE_SCORES, &[q, k, work]);
        let kernel = Kernel::new("attention.softmax", "naive", PARAMS).followed_by(NAIVE_SOFTMAX);
        self.launch(kernel, &[work, lse], (self.z, 1), 0, (self.z.total * self.z.t).div_ceil(64));
        self.naive_product("attention.forward", [work, v, y], [Part::V, Part::Y]);
    }

    /// Gradients with P and dS in memory.
    pub fn naive_grad(&mut self, [q, k, v, dy]: [Slot; 4], [stats, p, ds]: [Slot; 3], [dq, dk, dv]: [Slot; 3]) {
        self.naive_scores("attention.grad_scores", NAIVE_GRAD_SCORES, &[q, k, v, dy, stats, p, ds]);
        self.naive_product("attention.grad_query", [ds, k, dq], [Part::K, Part::Q]);
        self.naive_product("attention.grad_key", [ds, q, dk], [Part::Q, Part::K]);
        self.naive_product("attention.grad_value", [p, dy, dv], [Part::Y, Part::V]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DType;

    /// Of the pairs of rows that tiles have, a ViT's 65 tokens use three quarters at least, and no other number of tokens
    /// that images make uses less than tiles of 64 by 32 do.
    #[test]
    fn tiles_fit_the_rows_that_there_are() {
        for (name, form) in [("forward", FORWARD), ("grad_query", GRAD_QUERY), ("grad_key", GRAD_KEY)] {
            for t in [17, 37, 50, 64, 65, 145, 197, 257] {
                let z = Sizes { total: 1, heads: 1, t, s: t, e: 64, packed: true, dtype: DType::F32 };
                let paired = |[owned, walked]: [usize; 2]| t.next_multiple_of(owned) * t.next_multiple_of(walked);
                let share = (t * t) as f64 / paired(form.tile(z).map(|eighths| 8 * eighths)) as f64;
                let before = (t * t) as f64 / paired([64, 32]) as f64;
                println!("{name}, {t} tokens: {:.0} % of the pairs, not {:.0} %", 100.0 * share, 100.0 * before);
                assert!(share >= before && (t != 65 || share >= 0.75), "{name}, {t} tokens: {share}");
            }
        }
    }

    /// Workgroup memory of WebGPU's default limits holds the tiles of every head.
    #[test]
    fn tiles_of_every_head_fit() {
        for form in [FORWARD, GRAD_QUERY, GRAD_KEY] {
            for (e, rows) in (1..=super::super::LARGEST_HEAD).flat_map(|e| (1..80).map(move |rows| (e, rows))) {
                let z = Sizes { total: 1, heads: 1, t: rows, s: 80 - rows, e, packed: false, dtype: DType::F32 };
                let [r, n] = form.tile(z);
                let a = (4 * (16 * r.div_ceil(2) + 2)).max(64 * (n * e.div_ceil(32)).div_ceil(4));
                let b = (4 * (16 * n.div_ceil(2) + 2)).max(72 * r);
                assert!(16 * form.halves as usize * (a + b) < 16_384, "{z:?}: {r} by {n}");
            }
        }
    }
}
