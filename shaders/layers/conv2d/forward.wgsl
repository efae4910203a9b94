// Operands of conv2d forward for the gemm kernels: y[n, k, p, q] = Σ_{c, r, s} w[k, c, r, s] · x[n, c, p·st + r·dil − pad, …].
// Rows are output channels of the group `batch`, columns (n, p, q), the reduction (c, r, s) over the group's p.c input
// channels. $R, $S and $STRIDE are text: divisions by them cost little then.
// The operands' own piece, core/gemm/operands_f32.wgsl or a twin, reads an element: a is w as it lies, b is x, gathered.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    c: u32, h: u32, w: u32, p: u32, q: u32, padding: u32, dilation: u32, groups: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

// Where a column's window begins: its index in x, row and column. u32 wraps where that is in the border, and one comparison
// guards both ends.
struct Column { first: u32, top: u32, left: u32 }

fn depth(z: u32) -> u32 {
    return p.k;
}

fn row_of(m: u32) -> u32 {
    return (batch * p.m + m) * p.k;
}

fn column_of(n: u32) -> Column {
    let plane = p.p * p.q;
    let at = n % plane;
    let top = (at / p.q) * ${STRIDE}u - p.padding;
    let left = (at % p.q) * ${STRIDE}u - p.padding;
    let image = ((n / plane) * p.groups + batch) * p.c;
    return Column((image * p.h + top) * p.w + left, top, left);
}

fn a_at(row: u32, k: u32) -> f32 {
    return a_get(row + k);
}

fn b_at(column: Column, k: u32) -> f32 {
    let channel = k / ($R * $S);
    let tap = k % ($R * $S);
    let r = (tap / $S) * p.dilation;
    let s = (tap % $S) * p.dilation;
    let inside = (column.top + r < p.h) & (column.left + s < p.w);
    let at = column.first + (channel * p.h + r) * p.w + s;
    return select(0.0, b_get(select(0u, at, inside)), inside);
}

fn c_row(m: u32, slice: u32) -> u32 {
    return slice * p.groups * p.m * p.n + (batch * p.m + m) * (p.p * p.q);
}

fn c_column(n: u32) -> u32 {
    let plane = p.p * p.q;
    return (n / plane) * p.groups * p.m * plane + n % plane;
}

fn c_put(at: u32, v: f32) {
    put(at, v);
}
