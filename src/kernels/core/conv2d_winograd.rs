//! conv2d by Winograd's F(m×m, 3×3), m 2 or 4 (Lavin and Gray 2015, arXiv 1509.09308, sections 4.1 and 4.3): y = Aᵀ·[Σ_c
//! (G·g·Gᵀ) ⊙ (Bᵀ·d·B)]·A of each window d of t = m + 2 by t inputs that m by m outputs see: t² products of matrices,
//! U [t², K, C] · V [t², C, T] over T windows, in the place of one. Rates are counted in the flops of the direct sum, as
//! everywhere. What it costs: V and the products are each larger than the activations, and the transforms read and write
//! them once more; so it can win where C and K are large, and only a race says where. Only 3×3 windows of stride 1,
//! undilated, in one group.
//!
//! |                                                        | F(2×2, 3×3) | F(4×4, 3×3) |
//! |--------------------------------------------------------|-------------|-------------|
//! | products                                               | 16          | 36          |
//! | multiplications, of the direct sum's                   | 4 / 9       | 1 / 4       |
//! | V and the products, of the activations                 | 4           | 2.25        |
//! | places of t² that enter an output, at most             | 9           | 25          |
//! | roundings of a term on its way, besides the sum over c | 11          | 19          |
//! | terms, of the direct ones, where all numbers are equal | 64 / 9      | 256         |
//!
//! dx is the same with the weights turned round, k and c in each other's place, and a border of 2 − padding.
//!
//! The transforms add and subtract neighbours, so the sum has larger terms than the direct one and rounds more. With `places`
//! of the table, |error| ≤ 2⁻²⁴ · 4·√(places·C) · |Aᵀ|·[Σ_c (|G|·|g|·|Gᵀ|) ⊙ (|Bᵀ|·|d|·|B|)]·|A|: the tests' rule for the
//! terms that are summed. It holds with certainty, to the first order, while the roundings of the table and C − 1 more are no
//! more than that root's: up to C = 123 and C = 363. In F(4×4, 3×3) 8 of the 19 are the weight's (its sums two along
//! an axis, a sixth and the product with it two), 4 the input's, 1 the product's and 6 the output's (winograd_f4.wgsl).
//! There its terms are 36 times those of F(2×2, 3×3), which is the error that the larger points cost.

use crate::device::{Caps, Kernel, Piece, groups_1d};
use crate::kernels::conv2d_pass::Sizes;
use crate::kernels::epilogue::Ending;
use crate::kernels::gemm;
use crate::kernels::strided::Strided;
use crate::tape::{Emit, Slot, Type};
use crate::{params, piece};

params! {
    struct Weight {
        rows: u32, columns: u32, m: u32, c: u32,
        w_start: u32, w_m: u32, w_c: u32, w_tap: u32,
        panel: u32, place: u32,
        along: u32, along_m: u32,
    }
}

params! {
    struct Input {
        windows: u32, padded: u32, c: u32,
        tall: u32, wide: u32,
        h: u32, w: u32, padding: u32,
    }
}

params! {
    struct Output {
        windows: u32, padded: u32, k: u32,
        tall: u32, wide: u32,
        p: u32, q: u32,
    }
}

const WEIGHT: &[Piece] = &[piece!("common/index.wgsl"), piece!("layers/conv2d/winograd_weight.wgsl")];
const INPUT: &[Piece] = &[piece!("common/index.wgsl"), piece!("layers/conv2d/winograd_input.wgsl")];
const OUTPUT: &[Piece] = &[piece!("common/index.wgsl"), piece!("layers/conv2d/winograd_output.wgsl")];
const F2: &[Piece] = &[piece!("layers/conv2d/winograd_f2.wgsl")];
const F4: &[Piece] = &[piece!("layers/conv2d/winograd_f4.wgsl")];

/// A variant: how many outputs a window has along an axis, and who multiplies.
#[derive(Clone, Copy, Debug)]
struct Form {
    name: &'static str,
    out: usize,
    /// The products on a software adapter; else through workgroup memory.
    broadcast: bool,
}

/// The smaller windows first: they round less.
const FORMS: [Form; 4] = [
    Form { name: "winograd_broadcast", out: 2, broadcast: true },
    Form { name: "winograd_tiled", out: 2, broadcast: false },
    Form { name: "winograd_4x4_broadcast", out: 4, broadcast: true },
    Form { name: "winograd_4x4_tiled", out: 4, broadcast: false },
];

impl Form {
    /// Inputs of a window along an axis.
    fn inputs(self) -> usize {
        self.out + 2
    }

    /// Products: places of a window.
    fn places(self) -> usize {
        self.inputs() * self.inputs()
    }

    /// A kernel with the transforms of this form.
    fn kernel(self, name: &'static str, pieces: &[Piece]) -> Kernel {
        let transforms = if self.out == 2 { F2 } else { F4 };
        let kernel = Kernel::new(name, self.name, pieces).followed_by(transforms);
        kernel.with("OUT", self.out as u32).with("IN", self.inputs() as u32)
    }
}

/// A convolution as Winograd sees it: a forward one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Winograd {
    n: usize,
    /// Input: channels and plane.
    c: usize,
    h: usize,
    w: usize,
    padding: usize,
    /// Output: channels and plane.
    k: usize,
    p: usize,
    q: usize,
    /// The gradient to the input: weights [C, K, R, S] of this convolution lie as [K, C, R, S], turned round.
    turned: bool,
}

impl Winograd {
    /// The forward pass, if it has this form.
    pub fn forward(s: &Sizes) -> Option<Winograd> {
        let fits = (s.r, s.s, s.stride, s.dilation, s.groups) == (3, 3, 1, 1, 1);
        let Sizes { n, c, h, w, k, p, q, padding, .. } = *s;
        fits.then_some(Winograd { n, c, h, w, padding, k, p, q, turned: false })
    }

    /// The gradient to the input, if it has this form.
    pub fn grad_input(s: &Sizes) -> Option<Winograd> {
        let Winograd { n, c, h, w, k, p, q, padding, .. } = Winograd::forward(s).filter(|f| f.padding <= 2)?;
        Some(Winograd { n, c: k, h: p, w: q, padding: 2 - padding, k: c, p: h, q: w, turned: true })
    }

    /// Its variants, whose workspace the adapter can bind.
    pub fn variants(self, caps: &Caps) -> Vec<(&'static str, Formed)> {
        let there = FORMS.into_iter().filter(|form| !form.broadcast || gemm::broadcasts(caps));
        let formed = there.map(|form| (form.name, Formed { of: self, form }));
        formed.filter(|(_, of)| of.workspace(caps).iter().all(|t| t.bytes() <= caps.binding_bytes)).collect()
    }
}

/// A convolution in the windows of a variant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formed {
    of: Winograd,
    form: Form,
}

impl Formed {
    /// Windows of a column and of a row of outputs.
    fn grid(&self) -> (usize, usize) {
        (self.of.p.div_ceil(self.form.out), self.of.q.div_ceil(self.form.out))
    }

    fn windows(&self) -> usize {
        self.of.n * self.grid().0 * self.grid().1
    }

    /// Columns of the products: whole vec4.
    fn padded(&self) -> usize {
        self.windows().next_multiple_of(4)
    }

    /// Rows of a panel of U, its rows and its depth as the variant's product wants it: as they are, or in whole panels and vec4.
    fn weights(&self, caps: &Caps) -> (usize, usize, usize) {
        let Winograd { k, c, .. } = self.of;
        match gemm::lanes(caps).filter(|_| self.form.broadcast) {
            Some(lanes) => {
                let panel = gemm::tile_rows(k, lanes) as usize;
                (panel, k.next_multiple_of(panel), c.next_multiple_of(4))
            }
            None => (k, k, c),
        }
    }

    /// U, V and the products.
    pub fn workspace(&self, caps: &Caps) -> Vec<Type> {
        let (_, rows, depth) = self.weights(caps);
        let (z, columns) = (self.form.places(), self.padded());
        vec![Type::f32([z, rows, depth]), Type::f32([z, self.of.c, columns]), Type::f32([z, self.of.k, columns])]
    }

    /// Emits the four launches.
    pub fn emit(&self, e: &mut Emit<'_>, (w, x): (Slot, Slot), ending: &Ending) {
        let v = |x: usize| x as u32;
        let Winograd { c, h, w: width, padding, k, p, q, turned, .. } = self.of;
        let (columns, (tall, wide)) = (self.padded(), self.grid());
        self.emit_weights(e, w);
        let params = Input {
            windows: v(self.windows()),
            padded: v(columns),
            c: v(c),
            tall: v(tall),
            wide: v(wide),
            h: v(h),
            w: v(width),
            padding: v(padding),
        };
        let kernel = self.form.kernel("conv2d.winograd_input", INPUT);
        e.launch(kernel, &[x, Slot::Work(1)], &params, groups_1d((c * columns).div_ceil(64)));
        let product = if turned { "conv2d.winograd_grad_product" } else { "conv2d.winograd_product" };
        self.emit_products(e, product, (Slot::Work(0), Slot::Work(1), Slot::Work(2)));
        let params = Output {
            windows: v(self.windows()),
            padded: v(columns),
            k: v(k),
            tall: v(tall),
            wide: v(wide),
            p: v(p),
            q: v(q),
        };
        let kernel = self.form.kernel("conv2d.winograd_output", OUTPUT);
        let (kernel, buffers) = ending.of(kernel, &[Slot::Work(2), Slot::Out(0)], false);
        e.launch(kernel, &buffers, &params, groups_1d((k * self.windows()).div_ceil(64)));
    }

    fn emit_weights(&self, e: &mut Emit<'_>, w: Slot) {
        let v = |x: usize| x as u32;
        let Winograd { c, k, turned, .. } = self.of;
        let (panel, rows, depth) = self.weights(e.caps);
        // Of the weight as it lies: 9 numbers a filter, [first, second] channels.
        let (w_m, w_c) = if turned { (9, 9 * k) } else { (9 * c, 9) };
        let (w_start, w_tap) = if turned { (8, 1u32.wrapping_neg()) } else { (0, 1) };
        // A panel holds all products, each with its rows side by side; without panels a product lies as [K, C].
        let (along, along_m) = if self.form.broadcast { (panel, 1) } else { (depth, 0) };
        let params = Weight {
            rows: v(rows),
            columns: v(depth),
            m: v(k),
            c: v(c),
            w_start,
            w_m: v(w_m),
            w_c: v(w_c),
            w_tap,
            panel: v(panel),
            place: v(panel * depth),
            along: v(along),
            along_m,
        };
        let kernel = self.form.kernel("conv2d.winograd_weight", WEIGHT);
        e.launch(kernel, &[w, Slot::Work(0)], &params, groups_1d((rows * depth).div_ceil(64)));
    }

    /// A product of [K, C] and [C, T] for each place of a window.
    fn emit_products(&self, e: &mut Emit<'_>, name: &'static str, slots: (Slot, Slot, Slot)) {
        let (panel, _, depth) = self.weights(e.caps);
        let (m, n, k, z) = (self.of.k, self.padded(), self.of.c, self.form.places());
        if let (true, Some(lanes)) = (self.form.broadcast, gemm::lanes(e.caps)) {
            let (a_z, places) = ((depth * panel / 4) as u32, z as u32);
            let p =
                gemm::Across { m: m as u32, m_tiles: 0, n4: (n / 4) as u32, k: k as u32, a_panel: places * a_z, a_z };
            gemm::across(e, name, slots, p, (panel as u32, lanes), places, &Ending::NONE);
            return;
        }
        let product = Strided { z, m, n, k, a: [m * k, k, 1], b: [k * n, n, 1] };
        let kernel = product.kernel(name, gemm::tiles(m, n)[0], e.caps);
        product.launch_whole(e, kernel, slots);
    }
}
