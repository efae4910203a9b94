// Operands of conv2d's gradient to its weight for the gemm kernels:
// dw[k, c, r, s] = Σ_{n, p, q} dy[n, k, p, q] · x[n, c, p·st + r − pad, q·st + s − pad].
// Rows are output channels, columns (c, r, s), the reduction (n, p, q), which is long: it may be split into slices.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    c: u32, h: u32, w: u32, r: u32, s: u32, p: u32, q: u32, stride: u32, padding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;

struct Column { channel: u32, top: u32, left: u32 }

fn row_of(m: u32) -> u32 {
    return m;
}

fn column_of(n: u32) -> Column {
    let window = p.r * p.s;
    let tap = n % window;
    return Column(n / window, tap / p.s - p.padding, tap % p.s - p.padding);
}

fn a_at(row: u32, k: u32) -> f32 {
    let plane = p.p * p.q;
    return dy[((k / plane) * p.m + row) * plane + k % plane];
}

fn b_at(column: Column, k: u32) -> f32 {
    let plane = p.p * p.q;
    let at = k % plane;
    // u32 wraps in the border, and one comparison guards both ends.
    let h = (at / p.q) * p.stride + column.top;
    let w = (at % p.q) * p.stride + column.left;
    if (h >= p.h || w >= p.w) {
        return 0.0;
    }
    return x[(((k / plane) * p.c + column.channel) * p.h + h) * p.w + w];
}

fn c_put(m: u32, n: u32, slice: u32, v: f32) {
    dw[(slice * p.m + m) * p.n + n] = v;
}
