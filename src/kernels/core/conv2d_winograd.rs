//! conv2d by Winograd's F(2×2, 3×3) (Lavin and Gray 2015, arXiv 1509.09308, section 4.1): y = Aᵀ·[Σ_c (G·g·Gᵀ) ⊙
//! (Bᵀ·d·B)]·A of each 4 × 4 window d that two by two outputs see: 16 products of matrices, U [16, K, C] · V [16, C, T] over
//! T windows, in the place of one: 16 multiplications for 4 outputs instead of 36, so up to 2.25 times faster than the
//! direct sum. Rates are counted in the flops of the direct sum, as everywhere. What it costs: V and the products are
//! each 4 times as large as the activations, and the transforms read and write them once more; so it can win where C and
//! K are large, and only a race says where. Only 3×3 windows of stride 1, undilated, in one group.
//!
//! dx is the same with the weights turned round, m and c in each other's place, and a border of 2 − padding.
//!
//! The transforms add and subtract neighbours, so the sum has larger terms than the direct one and rounds more:
//! |error| ≤ 2⁻²⁴ · 4·√(9·C) · |Aᵀ|·[Σ_c (|G|·|g|·|Gᵀ|) ⊙ (|Bᵀ|·|d|·|B|)]·|A|, the tests' rule for the terms that are
//! summed (of one sign they are up to 64 / 9 times the direct ones).

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
        panel: u32, u_panel: u32, u_m: u32, u_c: u32, u_z: u32,
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

/// The products through workgroup memory.
const TILED: &str = "winograd_tiled";
/// The products on a software adapter.
const BROADCAST: &str = "winograd_broadcast";

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

    /// Windows of a column and of a row of outputs.
    fn grid(&self) -> (usize, usize) {
        (self.p.div_ceil(2), self.q.div_ceil(2))
    }

    fn windows(&self) -> usize {
        self.n * self.grid().0 * self.grid().1
    }

    /// Columns of the products: whole vec4.
    fn padded(&self) -> usize {
        self.windows().next_multiple_of(4)
    }

    /// Rows and depth of U as a variant's product wants it: as they are, or in whole panels and vec4.
    fn weights(&self, variant: &str, caps: &Caps) -> (usize, usize, usize) {
        match gemm::lanes(caps).filter(|_| variant == BROADCAST) {
            Some(lanes) => {
                let panel = gemm::tile_rows(self.k, lanes) as usize;
                (panel, self.k.next_multiple_of(panel), self.c.next_multiple_of(4))
            }
            None => (self.k, self.k, self.c),
        }
    }

    /// U, V and the products.
    pub fn workspace(&self, variant: &str, caps: &Caps) -> Vec<Type> {
        let (_, rows, depth) = self.weights(variant, caps);
        let columns = self.padded();
        vec![Type::f32([16, rows, depth]), Type::f32([16, self.c, columns]), Type::f32([16, self.k, columns])]
    }

    /// The variants whose workspace the adapter can bind.
    pub fn variants(&self, caps: &Caps) -> Vec<&'static str> {
        let software = gemm::broadcasts(caps).then_some(BROADCAST);
        let mut list: Vec<&'static str> = software.into_iter().chain([TILED]).collect();
        list.retain(|v| self.workspace(v, caps).iter().all(|t| t.bytes() <= caps.binding_bytes));
        list
    }

    /// Emits the four launches of the variant of `e`.
    pub fn emit(&self, e: &mut Emit<'_>, (w, x): (Slot, Slot), ending: &Ending) {
        let v = |x: usize| x as u32;
        let (columns, (tall, wide)) = (self.padded(), self.grid());
        self.emit_weights(e, w);
        let params = Input {
            windows: v(self.windows()),
            padded: v(columns),
            c: v(self.c),
            tall: v(tall),
            wide: v(wide),
            h: v(self.h),
            w: v(self.w),
            padding: v(self.padding),
        };
        let kernel = Kernel::new("conv2d.winograd_input", e.variant, INPUT);
        e.launch(kernel, &[x, Slot::Work(1)], &params, groups_1d((self.c * columns).div_ceil(64)));
        let product = if self.turned { "conv2d.winograd_grad_product" } else { "conv2d.winograd_product" };
        self.emit_products(e, product, (Slot::Work(0), Slot::Work(1), Slot::Work(2)));
        let params = Output {
            windows: v(self.windows()),
            padded: v(columns),
            k: v(self.k),
            tall: v(tall),
            wide: v(wide),
            p: v(self.p),
            q: v(self.q),
        };
        let kernel = Kernel::new("conv2d.winograd_output", e.variant, OUTPUT);
        let (kernel, buffers) = ending.of(kernel, &[Slot::Work(2), Slot::Out(0)], false);
        e.launch(kernel, &buffers, &params, groups_1d((self.k * self.windows()).div_ceil(64)));
    }

    fn emit_weights(&self, e: &mut Emit<'_>, w: Slot) {
        let v = |x: usize| x as u32;
        let (panel, rows, depth) = self.weights(e.variant, e.caps);
        // Of the weight as it lies: 9 numbers a filter, [first, second] channels.
        let (w_m, w_c) = if self.turned { (9, 9 * self.k) } else { (9 * self.c, 9) };
        let (w_start, w_tap) = if self.turned { (8, 1u32.wrapping_neg()) } else { (0, 1) };
        // A panel holds all 16 products, each along its depth, rows fastest; without panels a product lies as [K, C].
        let (u_panel, u_m, u_c) = if e.variant == BROADCAST { (16 * depth * panel, 1, panel) } else { (0, depth, 1) };
        let params = Weight {
            rows: v(rows),
            columns: v(depth),
            m: v(self.k),
            c: v(self.c),
            w_start,
            w_m: v(w_m),
            w_c: v(w_c),
            w_tap,
            panel: v(panel),
            u_panel: v(u_panel),
            u_m: v(u_m),
            u_c: v(u_c),
            u_z: v(panel * depth),
        };
        let kernel = Kernel::new("conv2d.winograd_weight", e.variant, WEIGHT);
        e.launch(kernel, &[w, Slot::Work(0)], &params, groups_1d((rows * depth).div_ceil(64)));
    }

    /// 16 products of [K, C] and [C, T].
    fn emit_products(&self, e: &mut Emit<'_>, name: &'static str, slots: (Slot, Slot, Slot)) {
        let (panel, _, depth) = self.weights(e.variant, e.caps);
        let (m, n, k) = (self.k, self.padded(), self.c);
        if let (BROADCAST, Some(lanes)) = (e.variant, gemm::lanes(e.caps)) {
            let a_z = (depth * panel / 4) as u32;
            let p = gemm::Across { m: m as u32, m_tiles: 0, n4: (n / 4) as u32, k: k as u32, a_panel: 16 * a_z, a_z };
            gemm::across(e, name, slots, p, (panel as u32, lanes), 16, &Ending::NONE);
            return;
        }
        let product = Strided { z: 16, m, n, k, a: [m * k, k, 1], b: [k * n, n, 1] };
        let kernel = product.kernel(name, gemm::tiles(m, n)[0], e.caps);
        product.launch_whole(e, kernel, slots);
    }
}
