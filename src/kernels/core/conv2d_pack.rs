//! conv2d on a software adapter: packs operands for shaders/core/gemm/columns.wgsl and rows.wgsl and describes their walks.
//!
//! Activations become [N, H', W', C'] with the border of zeros inside and C' a multiple of 4, so no load needs a guard;
//! the left operand (weights, or dy for the gradient to the weight) lies in panels of one tile's rows, so it streams.
//! Packing moves each element once; the product reuses it C·R·S or K·R·S times.

use crate::kernels::conv2d_pass::{Direction, Pass, Sizes};
use crate::kernels::epilogue::Ending;
use crate::kernels::gemm;
use crate::tape::{Emit, Slot, Type};

/// An activation packed with borders: [panel, outer, u, v, inner].
#[derive(Clone, Copy)]
struct Packed {
    channels: usize,
    u: usize,
    v: usize,
    inner: usize,
}

impl Packed {
    fn ty(&self, outer: usize) -> Type {
        Type::f32([self.channels.div_ceil(self.inner), outer, self.u, self.v, self.inner])
    }

    /// vec4 between neighbours in (outer, u, v).
    fn strides(&self) -> (u32, u32, u32) {
        let v = self.inner / 4;
        ((self.u * self.v * v) as u32, (self.v * v) as u32, v as u32)
    }

    /// The pack of `outer` times NCHW planes [channels, height, width], shifted by `(u0, v0)`.
    fn planes(&self, outer: usize, (height, width): (usize, usize), (u0, v0): (usize, usize)) -> gemm::Pack {
        gemm::Pack {
            outer: outer as u32,
            u: self.u as u32,
            v: self.v as u32,
            inner4: (self.inner / 4) as u32,
            u0: u0 as u32,
            v0: v0 as u32,
            u_len: height as u32,
            v_len: width as u32,
            e_len: self.channels as u32,
            x_o: (self.channels * height * width) as u32,
            x_u: width as u32,
            x_v: 1,
            x_e: (height * width) as u32,
            ..Default::default()
        }
    }
}

/// The packed operands of a pass.
pub(crate) fn workspace(pass: &Pass, lanes: u32) -> Vec<Type> {
    match pass.direction {
        Direction::Forward => forward_workspace(&pass.sizes, lanes),
        Direction::GradInput => grad_input_workspace(&pass.sizes, lanes),
        Direction::GradWeight => grad_weight_workspace(&pass.sizes, lanes),
    }
}

/// Emits the packs of a pass and its products; `ending` is of a forward pass.
pub(crate) fn emit(e: &mut Emit<'_>, pass: &Pass, lanes: u32, ending: &Ending) {
    match pass.direction {
        Direction::Forward => forward(e, &pass.sizes, lanes, ending),
        Direction::GradInput => grad_input(e, &pass.sizes, lanes),
        Direction::GradWeight => grad_weight(e, &pass.sizes, lanes),
    }
}

fn pad4(x: usize) -> usize {
    x.next_multiple_of(4)
}

/// Length of a pixel of an operand that is walked along its channels, many pixels at once. Pixels a power of two apart
/// would fall into the same sets of a CPU's cache, so wide ones are one vec4 longer.
fn pixel(channels: usize) -> usize {
    let c = pad4(channels);
    if c >= 128 && c.is_multiple_of(64) { c + 4 } else { c }
}

/// The weights as panels of `rows` of their first (`of_k`) or second dimension: [panel, tap, other, rows], taps in order
/// or reversed. `other` is padded to `depth`.
fn weight_pack(s: &Sizes, of_k: bool, rows: u32, depth: usize, reversed: bool) -> gemm::Pack {
    let window = (s.r * s.s) as u32;
    let (k_stride, c_stride) = (s.c as u32 * window, window);
    let (len, other, x_e, x_v) = if of_k { (s.k, s.c, k_stride, c_stride) } else { (s.c, s.k, c_stride, k_stride) };
    let (x_start, x_o) = if reversed { (window - 1, 1u32.wrapping_neg()) } else { (0, 1) };
    gemm::Pack {
        outer: window,
        u: 1,
        v: depth as u32,
        inner4: rows / 4,
        u_len: 1,
        v_len: other as u32,
        e_len: len as u32,
        x_start,
        x_o,
        x_v,
        x_e,
        ..Default::default()
    }
}

fn weight_type(s: &Sizes, m: usize, rows: u32, depth: usize) -> Type {
    Type::f32([m.div_ceil(rows as usize), s.r * s.s, depth, rows as usize])
}

/// x for the forward pass: exactly what the windows touch.
fn forward_x(s: &Sizes) -> Packed {
    let (u, v) = ((s.p - 1) * s.stride + s.r, (s.q - 1) * s.stride + s.s);
    Packed { channels: s.c, u, v, inner: pixel(s.c) }
}

/// Whether the convolution is a product of matrices that lie in memory already, a pair an image: 1×1, stride 1, no
/// border, planes of whole vec4.
fn is_product(s: &Sizes) -> bool {
    (s.r, s.s, s.stride, s.padding) == (1, 1, 1, 0) && (s.h * s.w).is_multiple_of(4)
}

/// A 1×1 convolution or its gradient to the input: the weights packed by their `m` output channels, images as they lie.
fn product(
    e: &mut Emit<'_>,
    name: &'static str,
    s: &Sizes,
    of_k: bool,
    (w, b): (Slot, Slot),
    lanes: u32,
    ending: &Ending,
) {
    let (m, k) = if of_k { (s.k, s.c) } else { (s.c, s.k) };
    let (rows, kp) = (gemm::tile_rows(m, lanes), pad4(k));
    gemm::pack(e, "conv2d.pack_weight", w, Slot::Work(0), weight_pack(s, of_k, rows, kp, false));
    let n4 = (s.h * s.w / 4) as u32;
    // Every image meets the same weights: a does not move with z.
    let p = gemm::Across { m: m as u32, m_tiles: 0, n4, k: k as u32, a_panel: kp as u32 * rows / 4, a_z: 0 };
    gemm::across(e, name, (Slot::Work(0), b, Slot::Out(0)), p, (rows, lanes), s.n as u32, ending);
}

fn forward_workspace(s: &Sizes, lanes: u32) -> Vec<Type> {
    if is_product(s) {
        return vec![weight_type(s, s.k, gemm::tile_rows(s.k, lanes), pad4(s.c))];
    }
    vec![weight_type(s, s.k, gemm::tile_rows(s.k, lanes), forward_x(s).inner), forward_x(s).ty(s.n)]
}

fn forward(e: &mut Emit<'_>, s: &Sizes, lanes: u32, ending: &Ending) {
    if is_product(s) {
        product(e, "conv2d.forward", s, true, (Slot::In(1), Slot::In(0)), lanes, ending);
        return;
    }
    let (rows, x) = (gemm::tile_rows(s.k, lanes), forward_x(s));
    let a = weight_pack(s, true, rows, x.inner, false);
    gemm::pack(e, "conv2d.pack_weight", Slot::In(1), Slot::Work(0), a);
    let planes = x.planes(s.n, (s.h, s.w), (s.padding, s.padding));
    gemm::pack(e, "conv2d.pack_input", Slot::In(0), Slot::Work(1), planes);
    let (b_n, b_row, b_pixel) = x.strides();
    let (plane, stride) = (s.p * s.q, s.stride as u32);
    // Neighbouring taps of a row are neighbours in both operands: one run of S · C'.
    let p = gemm::Columns {
        m: s.k as u32,
        columns: (s.n * plane) as u32,
        a_panel: (s.r * s.s * x.inner) as u32 * rows / 4,
        u: s.p as u32,
        v: s.q as u32,
        b_n,
        b_u: stride * b_row,
        b_v: stride * b_pixel,
        taps_i: s.r as u32,
        taps_j: 1,
        b_i: b_row,
        a_i: (s.s * x.inner) as u32,
        k4: (s.s * x.inner / 4) as u32,
        c_n: (s.k * plane) as u32,
        c_m: plane as u32,
        c_u: s.q as u32,
        c_v: 1,
        ..Default::default()
    };
    gemm::columns(e, "conv2d.forward", (Slot::Work(0), Slot::Work(1), Slot::Out(0)), p, (rows, lanes), 1, ending);
}

/// One direction (rows or columns) of the gradient to the input, for inputs h ≡ phase (mod stride): `taps` taps reach
/// them, the last of them r = first, the one before r = first + stride, …; the t-th in this order reads the output
/// h / stride + shift − taps + 1 + t. Taps are taken in falling r so that outputs rise.
#[derive(Clone, Copy)]
struct Phase {
    count: usize,
    first: usize,
    taps: usize,
    shift: usize,
}

fn phase(phase: usize, len: usize, window: usize, s: &Sizes) -> Phase {
    let first = (phase + s.padding) % s.stride;
    let taps = window.saturating_sub(first).div_ceil(s.stride);
    let count = len.saturating_sub(phase).div_ceil(s.stride);
    Phase { count, first, taps, shift: (phase + s.padding - first) / s.stride }
}

/// Border in front and length of a direction of dy, so that every tap of every phase reads inside it.
fn border(len: usize, window: usize, s: &Sizes) -> (usize, usize) {
    let phases = (0..s.stride).map(|i| phase(i, len, window, s)).filter(|f| f.count > 0 && f.taps > 0);
    let (mut front, mut last) = (0, 0);
    for f in phases {
        front = front.max((f.taps - 1).saturating_sub(f.shift));
        last = last.max(f.count - 1 + f.shift);
    }
    (front, front + last + 1)
}

fn grad_input_dy(s: &Sizes) -> (Packed, (usize, usize)) {
    let ((top, u), (left, v)) = (border(s.h, s.r, s), border(s.w, s.s, s));
    (Packed { channels: s.k, u, v, inner: pixel(s.k) }, (top, left))
}

fn grad_input_workspace(s: &Sizes, lanes: u32) -> Vec<Type> {
    if is_product(s) {
        return vec![weight_type(s, s.c, gemm::tile_rows(s.c, lanes), pad4(s.k))];
    }
    let dy = grad_input_dy(s).0;
    vec![weight_type(s, s.c, gemm::tile_rows(s.c, lanes), dy.inner), dy.ty(s.n)]
}

fn grad_input(e: &mut Emit<'_>, s: &Sizes, lanes: u32) {
    if is_product(s) {
        product(e, "conv2d.grad_input", s, false, (Slot::In(0), Slot::In(1)), lanes, &Ending::NONE);
        return;
    }
    let (rows, (dy, border)) = (gemm::tile_rows(s.c, lanes), grad_input_dy(s));
    gemm::pack(e, "conv2d.pack_weight", Slot::In(0), Slot::Work(0), weight_pack(s, false, rows, dy.inner, true));
    gemm::pack(e, "conv2d.pack_grad_output", Slot::In(1), Slot::Work(1), dy.planes(s.n, (s.p, s.q), border));
    for i in 0..s.stride {
        for j in 0..s.stride {
            let (f, g) = (phase(i, s.h, s.r, s), phase(j, s.w, s.s, s));
            if f.count > 0 && g.count > 0 {
                let p = grad_input_phase(s, (&dy, border), (i, f), (j, g), rows);
                let slots = (Slot::Work(0), Slot::Work(1), Slot::Out(0));
                gemm::columns(e, "conv2d.grad_input", slots, p, (rows, lanes), 1, &Ending::NONE);
            }
        }
    }
}

/// The walk of inputs (h, w) ≡ (i, j) mod stride. The weights lie with taps reversed.
fn grad_input_phase(
    s: &Sizes,
    (dy, (top, left)): (&Packed, (usize, usize)),
    (i, f): (usize, Phase),
    (j, g): (usize, Phase),
    rows: u32,
) -> gemm::Columns {
    let (b_n, b_row, b_pixel) = dy.strides();
    let (inner, stride) = (dy.inner, s.stride);
    // The tap of the highest r that this phase takes comes first; in reversed order it is number R − 1 − r.
    let highest = |p: Phase| p.first + p.taps.saturating_sub(1) * stride;
    let begins = |p: Phase, before: usize| p.shift + before - p.taps.saturating_sub(1);
    let reversed = |window: usize, p: Phase| (window - 1).saturating_sub(highest(p));
    // With stride 1 neighbouring taps of a row are one run, as in the forward pass.
    let (taps_j, run) = if stride == 1 { (1.min(g.taps), g.taps) } else { (g.taps, 1) };
    gemm::Columns {
        m: s.c as u32,
        columns: (s.n * f.count * g.count) as u32,
        a_panel: (s.r * s.s * inner) as u32 * rows / 4,
        u: f.count as u32,
        v: g.count as u32,
        b_n,
        b_u: b_row,
        b_v: b_pixel,
        b_start: if f.taps == 0 || g.taps == 0 {
            0 // no tap reaches these inputs; their gradient is zero
        } else {
            begins(f, top) as u32 * b_row + begins(g, left) as u32 * b_pixel
        },
        taps_i: f.taps as u32,
        taps_j: taps_j as u32,
        b_i: b_row,
        b_j: b_pixel,
        a_start: ((reversed(s.r, f) * s.s + reversed(s.s, g)) * inner) as u32,
        a_i: (stride * s.s * inner) as u32,
        a_j: (stride * inner) as u32,
        k4: (run * inner / 4) as u32,
        c_n: (s.c * s.h * s.w) as u32,
        c_m: (s.h * s.w) as u32,
        c_u: (stride * s.w) as u32,
        c_v: stride as u32,
        c_start: (i * s.w + j) as u32,
        ..Default::default()
    }
}

/// dy in panels of a tile's rows and x in panels of a workgroup's channels (or whole, where channels are few) for the
/// gradient to the weight: output columns padded to 4, rows of x long enough for them.
fn grad_weight_operands(s: &Sizes, rows: u32, lanes: u32) -> (Packed, Packed) {
    let (q, width) = (pad4(s.q), 4 * lanes as usize);
    let inner = if s.c.is_multiple_of(width) { width } else { pad4(s.c) };
    let dy = Packed { channels: s.k, u: s.p, v: q, inner: rows as usize };
    let (u, v) = ((s.p - 1) * s.stride + s.r, (q - 1) * s.stride + s.s);
    (dy, Packed { channels: s.c, u, v, inner })
}

/// dw[k, c] = Σ_{n, pixel} dy[n, k, pixel] · x[n, c, pixel] of a 1×1 convolution: both operands lie along the pixels that
/// are summed over, so the one with more channels is read as it lies, its channels the columns, and the other is packed.
struct Pixels {
    /// dy is packed and x read; the other way round where x has fewer channels.
    packs_dy: bool,
    m: usize,
    columns: usize,
    pixels: usize,
}

fn pixels(s: &Sizes) -> Pixels {
    let packs_dy = s.k <= s.c;
    let (m, columns) = if packs_dy { (s.k, s.c) } else { (s.c, s.k) };
    Pixels { packs_dy, m, columns, pixels: s.h * s.w }
}

fn pixels_workspace(s: &Sizes, lanes: u32) -> Vec<Type> {
    let (p, rows) = (pixels(s), gemm::tile_rows(pixels(s).m, lanes) as usize);
    vec![Type::f32([p.m.div_ceil(rows), s.n, p.pixels, rows])]
}

fn grad_weight_of_pixels(e: &mut Emit<'_>, s: &Sizes, lanes: u32) {
    let of = pixels(s);
    let (rows, pixels) = (gemm::tile_rows(of.m, lanes), of.pixels as u32);
    let (packed, read) = if of.packs_dy { (Slot::In(0), Slot::In(1)) } else { (Slot::In(1), Slot::In(0)) };
    let pack = gemm::Pack {
        outer: s.n as u32,
        u: 1,
        v: pixels,
        inner4: rows / 4,
        u_len: 1,
        v_len: pixels,
        e_len: of.m as u32,
        x_o: of.m as u32 * pixels,
        x_v: 1,
        x_e: pixels,
        ..Default::default()
    };
    let name = if of.packs_dy { "conv2d.pack_grad_output" } else { "conv2d.pack_input" };
    gemm::pack(e, name, packed, Slot::Work(0), pack);
    // Images are the taps: the sum goes through the pixels of each in turn.
    let (c_m, c_v) = if of.packs_dy { (s.c as u32, 1) } else { (1, s.c as u32) };
    let p = gemm::Columns {
        m: of.m as u32,
        columns: of.columns as u32,
        a_panel: s.n as u32 * pixels * rows / 4,
        u: 1,
        v: of.columns as u32,
        b_v: pixels / 4,
        taps_i: s.n as u32,
        taps_j: 1,
        b_i: of.columns as u32 * pixels / 4,
        a_i: pixels,
        k4: pixels / 4,
        c_m,
        c_v,
        ..Default::default()
    };
    gemm::columns(e, "conv2d.grad_weight", (Slot::Work(0), read, Slot::Out(0)), p, (rows, lanes), 1, &Ending::NONE);
}

fn grad_weight_workspace(s: &Sizes, lanes: u32) -> Vec<Type> {
    if is_product(s) {
        return pixels_workspace(s, lanes);
    }
    let (dy, x) = grad_weight_operands(s, gemm::tile_rows(s.k, lanes), lanes);
    vec![dy.ty(s.n), x.ty(s.n)]
}

fn grad_weight(e: &mut Emit<'_>, s: &Sizes, lanes: u32) {
    if is_product(s) {
        grad_weight_of_pixels(e, s, lanes);
        return;
    }
    let rows = gemm::tile_rows(s.k, lanes);
    let (dy, x) = grad_weight_operands(s, rows, lanes);
    gemm::pack(e, "conv2d.pack_grad_output", Slot::In(0), Slot::Work(0), dy.planes(s.n, (s.p, s.q), (0, 0)));
    let planes = x.planes(s.n, (s.h, s.w), (s.padding, s.padding));
    gemm::pack(e, "conv2d.pack_input", Slot::In(1), Slot::Work(1), planes);
    let (b_image, b_row, b_pixel) = x.strides();
    let p = gemm::Rows {
        m: s.k as u32,
        n4: (s.c.div_ceil(x.inner) * s.s * x.inner / 4) as u32,
        images: s.n as u32,
        rows: s.p as u32,
        q4: (dy.v / 4) as u32,
        a_panel: s.n as u32 * dy.strides().0,
        b_panel: s.n as u32 * b_image,
        b_image,
        b_row: s.stride as u32 * b_row,
        b_q: s.stride as u32 * b_pixel,
        b_z: b_row,
        c: s.c as u32,
        c4: (x.inner / 4) as u32,
        r: s.r as u32,
        s: s.s as u32,
        ..Default::default()
    };
    gemm::rows(e, "conv2d.grad_weight", (Slot::Work(0), Slot::Work(1), Slot::Out(0)), p, (rows, lanes));
}
