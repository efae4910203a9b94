// Operands of conv2d's gradient to its input for the gemm kernels:
// dx[n, c, h, w] = Σ_{k, r, s} w[k, c, r, s] · dy[n, k, (h + pad − r) / st, (w + pad − s) / st] where that divides.
// Rows are input channels, columns (n, h, w), the reduction (k, r, s).

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    c: u32, h: u32, w: u32, r: u32, s: u32, p: u32, q: u32, stride: u32, padding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

struct Column { image: u32, bottom: u32, right: u32 }

fn row_of(m: u32) -> u32 {
    return m * p.r * p.s;
}

fn column_of(n: u32) -> Column {
    let plane = p.h * p.w;
    let at = n % plane;
    return Column(n / plane, at / p.w + p.padding, at % p.w + p.padding);
}

fn a_at(row: u32, k: u32) -> f32 {
    let window = p.r * p.s;
    return weight[(k / window) * p.c * window + row + k % window];
}

fn b_at(column: Column, k: u32) -> f32 {
    let window = p.r * p.s;
    let out_channels = p.k / window;
    let tap = k % window;
    // u32 wraps where a tap lies before the first output; the quotient is then past the last one.
    let h = column.bottom - tap / p.s;
    let w = column.right - tap % p.s;
    if (h % p.stride != 0u || w % p.stride != 0u || h / p.stride >= p.p || w / p.stride >= p.q) {
        return 0.0;
    }
    return dy[((column.image * out_channels + k / window) * p.p + h / p.stride) * p.q + w / p.stride];
}

fn c_put(m: u32, n: u32, slice: u32, v: f32) {
    let plane = p.h * p.w;
    dx[((n / plane) * p.c + m) * plane + n % plane] = v;
}
