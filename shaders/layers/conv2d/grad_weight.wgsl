// Operands of conv2d's gradient to its weight for the gemm kernels:
// dw[k, c, r, s] = Σ_{n, p, q} dy[n, k, p, q] · x[n, c, p·st + r·dil − pad, q·st + s·dil − pad].
// Rows are output channels of the group `batch`, columns (c, r, s) over the group's p.c input channels, the reduction
// (n, p, q), which is long: it may be split into slices. $R, $S and $STRIDE are text: divisions by them cost little then.
// The operands' own piece, core/gemm/operands_f32.wgsl or a twin, reads an element: a is dy, b is x, gathered.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    c: u32, h: u32, w: u32, p: u32, q: u32, padding: u32, dilation: u32, groups: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;

struct Column { channel: u32, top: u32, left: u32 }

fn row_of(m: u32) -> u32 {
    return m;
}

fn column_of(n: u32) -> Column {
    let tap = n % ($R * $S);
    let channel = batch * p.c + n / ($R * $S);
    return Column(channel, (tap / $S) * p.dilation - p.padding, (tap % $S) * p.dilation - p.padding);
}

fn a_at(row: u32, k: u32) -> f32 {
    let plane = p.p * p.q;
    return a_get((((k / plane) * p.groups + batch) * p.m + row) * plane + k % plane);
}

fn b_at(column: Column, k: u32) -> f32 {
    let plane = p.p * p.q;
    let at = k % plane;
    // u32 wraps in the border, and one comparison guards both ends.
    let h = (at / p.q) * ${STRIDE}u + column.top;
    let w = (at % p.q) * ${STRIDE}u + column.left;
    if (h >= p.h || w >= p.w) {
        return 0.0;
    }
    return b_get((((k / plane) * p.groups * p.c + column.channel) * p.h + h) * p.w + w);
}

fn c_at(m: u32, n: u32, slice: u32) -> u32 {
    return ((slice * p.groups + batch) * p.m + m) * p.n + n;
}

fn c_put(at: u32, v: f32) {
    dw[at] = v;
}
