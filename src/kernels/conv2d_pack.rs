//! conv2d on a software adapter: packs operands for shaders/gemm/columns.wgsl and rows.wgsl and describes their walks.
//!
//! Activations become [N, H', W', C'] with the border of zeros inside and C' a multiple of 4, weights [tap, C', K'] with
//! K' a multiple of the tile, so no load needs a guard. Packing moves each element once; the product reuses it C·R·S or
//! K·R·S times.

use super::conv2d::Sizes;
use super::gemm;
use crate::tape::{Emit, Slot, Type};

/// An activation packed with borders: [outer, u, v, inner].
#[derive(Clone, Copy)]
struct Packed {
    u: usize,
    v: usize,
    inner: usize,
}

impl Packed {
    fn ty(&self, outer: usize) -> Type {
        Type::f32([outer, self.u, self.v, self.inner])
    }

    /// vec4 between neighbours in (outer, u, v).
    fn strides(&self) -> (u32, u32, u32) {
        let v = self.inner / 4;
        ((self.u * self.v * v) as u32, (self.v * v) as u32, v as u32)
    }

    /// The pack of NCHW planes [outer, channels, height, width], shifted by `(u0, v0)`.
    fn planes(&self, (channels, height, width): (usize, usize, usize), (u0, v0): (usize, usize)) -> gemm::Pack {
        gemm::Pack {
            u: self.u as u32,
            v: self.v as u32,
            inner4: (self.inner / 4) as u32,
            u0: u0 as u32,
            v0: v0 as u32,
            u_len: height as u32,
            v_len: width as u32,
            e_len: channels as u32,
            x_o: (channels * height * width) as u32,
            x_u: width as u32,
            x_v: 1,
            x_e: (height * width) as u32,
            ..Default::default()
        }
    }
}

fn pad4(x: usize) -> usize {
    x.next_multiple_of(4)
}

/// Tile of `m` rows and `m` padded to it.
fn tile(m: usize, lanes: u32) -> (u32, usize) {
    let rows = gemm::tile_rows(m, lanes);
    (rows, m.next_multiple_of(rows as usize))
}

/// x for the forward pass: exactly what the windows touch.
fn forward_x(s: &Sizes) -> Packed {
    Packed { u: (s.p - 1) * s.stride + s.r, v: (s.q - 1) * s.stride + s.s, inner: pad4(s.c) }
}

pub(super) fn forward_workspace(s: &Sizes, lanes: u32) -> Vec<Type> {
    let (_, kp) = tile(s.k, lanes);
    vec![Type::f32([s.r * s.s, pad4(s.c), kp]), forward_x(s).ty(s.n)]
}

pub(super) fn forward(e: &mut Emit<'_>, s: &Sizes, lanes: u32) {
    let ((rows, kp), x) = (tile(s.k, lanes), forward_x(s));
    let window = s.r * s.s;
    // a[tap, c, k] = w[k, c, tap]
    let a = gemm::Pack {
        u: 1,
        v: pad4(s.c) as u32,
        inner4: (kp / 4) as u32,
        u_len: 1,
        v_len: s.c as u32,
        e_len: s.k as u32,
        x_o: 1,
        x_v: window as u32,
        x_e: (s.c * window) as u32,
        ..Default::default()
    };
    gemm::pack(e, "conv2d.pack_weight", Slot::In(1), Slot::Work(0), window as u32, a);
    let planes = x.planes((s.c, s.h, s.w), (s.padding, s.padding));
    gemm::pack(e, "conv2d.pack_input", Slot::In(0), Slot::Work(1), s.n as u32, planes);
    let (b_n, b_row, b_pixel) = x.strides();
    let (plane, stride) = (s.p * s.q, s.stride as u32);
    let p = gemm::Columns {
        m: s.k as u32,
        columns: (s.n * plane) as u32,
        a_row: (kp / 4) as u32,
        u: s.p as u32,
        v: s.q as u32,
        b_n,
        b_u: stride * b_row,
        b_v: stride * b_pixel,
        taps_i: s.r as u32,
        taps_j: s.s as u32,
        b_i: b_row,
        b_j: b_pixel,
        a_i: (s.s * x.inner) as u32,
        a_j: x.inner as u32,
        k4: (x.inner / 4) as u32,
        c_n: (s.k * plane) as u32,
        c_m: plane as u32,
        c_u: s.q as u32,
        c_v: 1,
        ..Default::default()
    };
    gemm::columns(e, "conv2d.forward", (Slot::Work(0), Slot::Work(1), Slot::Out(0)), p, (rows, lanes));
}

/// One direction (rows or columns) of the gradient to the input, for outputs h ≡ phase (mod stride): the taps
/// r = first, first + stride, … reach them, the t-th from p = h / stride + shift − t.
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
    Phase {
        count: len.saturating_sub(phase).div_ceil(s.stride),
        first,
        taps,
        shift: (phase + s.padding - first) / s.stride,
    }
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
    (Packed { u, v, inner: pad4(s.k) }, (top, left))
}

pub(super) fn grad_input_workspace(s: &Sizes, lanes: u32) -> Vec<Type> {
    let (_, cp) = tile(s.c, lanes);
    vec![Type::f32([s.r * s.s, pad4(s.k), cp]), grad_input_dy(s).0.ty(s.n)]
}

pub(super) fn grad_input(e: &mut Emit<'_>, s: &Sizes, lanes: u32) {
    let ((rows, cp), (dy, (top, left))) = (tile(s.c, lanes), grad_input_dy(s));
    let window = s.r * s.s;
    // a[tap, k, c] = w[k, c, tap]
    let a = gemm::Pack {
        u: 1,
        v: pad4(s.k) as u32,
        inner4: (cp / 4) as u32,
        u_len: 1,
        v_len: s.k as u32,
        e_len: s.c as u32,
        x_o: 1,
        x_v: (s.c * window) as u32,
        x_e: window as u32,
        ..Default::default()
    };
    gemm::pack(e, "conv2d.pack_weight", Slot::In(0), Slot::Work(0), window as u32, a);
    let planes = dy.planes((s.k, s.p, s.q), (top, left));
    gemm::pack(e, "conv2d.pack_grad_output", Slot::In(1), Slot::Work(1), s.n as u32, planes);
    let (b_n, b_row, b_pixel) = dy.strides();
    for i in 0..s.stride {
        for j in 0..s.stride {
            let (f, g) = (phase(i, s.h, s.r, s), phase(j, s.w, s.s, s));
            if f.count == 0 || g.count == 0 {
                continue;
            }
            let (stride, inner) = (s.stride, dy.inner);
            let p = gemm::Columns {
                m: s.c as u32,
                columns: (s.n * f.count * g.count) as u32,
                a_row: (cp / 4) as u32,
                u: f.count as u32,
                v: g.count as u32,
                b_n,
                b_u: b_row,
                b_v: b_pixel,
                b_start: (f.shift + top) as u32 * b_row + (g.shift + left) as u32 * b_pixel,
                taps_i: f.taps as u32,
                taps_j: g.taps as u32,
                b_i: b_row.wrapping_neg(),
                b_j: b_pixel.wrapping_neg(),
                a_start: ((f.first * s.s + g.first) * inner) as u32,
                a_i: (stride * s.s * inner) as u32,
                a_j: (stride * inner) as u32,
                k4: (inner / 4) as u32,
                c_n: (s.c * s.h * s.w) as u32,
                c_m: (s.h * s.w) as u32,
                c_u: (stride * s.w) as u32,
                c_v: stride as u32,
                c_start: (i * s.w + j) as u32,
                ..Default::default()
            };
            gemm::columns(e, "conv2d.grad_input", (Slot::Work(0), Slot::Work(1), Slot::Out(0)), p, (rows, lanes));
        }
    }
}

/// dy and x for the gradient to the weight: output columns padded to 4, rows of x long enough for them.
fn grad_weight_operands(s: &Sizes, kp: usize) -> (Packed, Packed) {
    let q = pad4(s.q);
    let dy = Packed { u: s.p, v: q, inner: kp };
    let x = Packed { u: (s.p - 1) * s.stride + s.r, v: (q - 1) * s.stride + s.s, inner: pad4(s.c) };
    (dy, x)
}

pub(super) fn grad_weight_workspace(s: &Sizes, lanes: u32) -> Vec<Type> {
    let (dy, x) = grad_weight_operands(s, tile(s.k, lanes).1);
    vec![dy.ty(s.n), x.ty(s.n)]
}

pub(super) fn grad_weight(e: &mut Emit<'_>, s: &Sizes, lanes: u32) {
    let (rows, kp) = tile(s.k, lanes);
    let (dy, x) = grad_weight_operands(s, kp);
    let n = s.n as u32;
    gemm::pack(e, "conv2d.pack_grad_output", Slot::In(0), Slot::Work(0), n, dy.planes((s.k, s.p, s.q), (0, 0)));
    let planes = x.planes((s.c, s.h, s.w), (s.padding, s.padding));
    gemm::pack(e, "conv2d.pack_input", Slot::In(1), Slot::Work(1), n, planes);
    let (b_image, b_row, b_pixel) = x.strides();
    let p = gemm::Rows {
        m: s.k as u32,
        n4: (s.s * x.inner / 4) as u32,
        images: n,
        rows: s.p as u32,
        q4: (dy.v / 4) as u32,
        a_row: (kp / 4) as u32,
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
