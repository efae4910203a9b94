// Operands of conv2d's gradient to its input for the gemm kernels:
// dx[n, c, h, w] = Σ_{k, r, s} w[k, c, r, s] · dy[n, k, (h + pad − r·dil) / st, …] where that divides.
// Rows are input channels of the group `batch`, columns (n, h, w), the reduction (k, r, s) over the group's output
// channels. $R, $S and $STRIDE are text: divisions by them cost little then.
// The operands' own piece, core/gemm/operands_f32.wgsl or a twin, reads an element: a is w, b is dy, gathered.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    c: u32, h: u32, w: u32, p: u32, q: u32, padding: u32, dilation: u32, groups: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// The index in dy of a column's image and group, and where its last window would begin.
struct Column { first: u32, bottom: u32, right: u32 }

fn row_of(m: u32) -> u32 {
    return batch * p.k * p.m + m * $R * $S;
}

fn column_of(n: u32) -> Column {
    let plane = p.h * p.w;
    let at = n % plane;
    let out_channels = p.k / ($R * $S);
    let first = ((n / plane) * p.groups + batch) * out_channels * p.p * p.q;
    return Column(first, at / p.w + p.padding, at % p.w + p.padding);
}

fn a_at(row: u32, k: u32) -> f32 {
    return a_get((k / ($R * $S)) * p.m * $R * $S + row + k % ($R * $S));
}

fn b_at(column: Column, k: u32) -> f32 {
    let tap = k % ($R * $S);
    // u32 wraps where a tap lies before the first output; the quotient is then past the last one.
    let h = column.bottom - (tap / $S) * p.dilation;
    let w = column.right - (tap % $S) * p.dilation;
    let whole = (h % $STRIDE == 0u) & (w % $STRIDE == 0u);
    let inside = whole & (h / $STRIDE < p.p) & (w / $STRIDE < p.q);
    let at = column.first + ((k / ($R * $S)) * p.p + h / $STRIDE) * p.q + w / $STRIDE;
    return select(0.0, b_get(select(0u, at, inside)), inside);
}

fn c_at(m: u32, n: u32, slice: u32) -> u32 {
    let plane = p.h * p.w;
    let first = slice * p.groups * p.m * p.n;
    return first + (((n / plane) * p.groups + batch) * p.m + m) * plane + n % plane;
}

fn c_put(at: u32, v: f32) {
    dx[at] = v;
}
