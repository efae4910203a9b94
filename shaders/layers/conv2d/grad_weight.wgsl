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

// A column's index in an image of x, and the row and column of its tap: u32 wraps in the border, and one comparison guards
// both ends.
struct Column { first: u32, top: u32, left: u32 }

// What a k means: where the rows of dy begin there and its image of x, both with the place in their plane, and that place.
struct Line { a: u32, b: u32, top: u32, left: u32 }

fn depth(z: u32) -> u32 {
    return p.k;
}

fn row_of(m: u32) -> u32 {
    return m * p.p * p.q;
}

fn column_of(n: u32) -> Column {
    let tap = n % ($R * $S);
    let channel = batch * p.c + n / ($R * $S);
    let top = (tap / $S) * p.dilation - p.padding;
    let left = (tap % $S) * p.dilation - p.padding;
    return Column((channel * p.h + top) * p.w + left, top, left);
}

fn line_of(k: u32) -> Line {
    let plane = p.p * p.q;
    let image = k / plane;
    let at = k - image * plane;
    let row = at / p.q;
    let top = row * ${STRIDE}u;
    let left = (at - row * p.q) * ${STRIDE}u;
    let x = image * p.groups * p.c * p.h * p.w;
    return Line((image * p.groups + batch) * p.m * plane + at, x + top * p.w + left, top, left);
}

fn a_on(row: u32, line: Line) -> f32 {
    return a_get(line.a + row);
}

fn b_on(column: Column, line: Line) -> f32 {
    let inside = (line.top + column.top < p.h) & (line.left + column.left < p.w);
    return select(0.0, b_get(select(0u, line.b + column.first, inside)), inside);
}

fn a_at(row: u32, k: u32) -> f32 {
    return a_on(row, line_of(k));
}

fn b_at(column: Column, k: u32) -> f32 {
    return b_on(column, line_of(k));
}

fn c_row(m: u32, slice: u32) -> u32 {
    return ((slice * p.groups + batch) * p.m + m) * p.n;
}

fn c_column(n: u32) -> u32 {
    return n;
}

fn c_put(at: u32, v: f32) {
    put(at, v);
}
