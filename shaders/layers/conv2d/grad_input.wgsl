// Operands of conv2d's gradient to its input for the gemm kernels:
// dx[n, c, h, w] = Σ_{k, r, s} w[k, c, r, s] · dy[n, k, (h + pad − r·dil) / st, …] where that divides.
// Whether it divides depends on h and w modulo the stride, the phase of an input. So each phase is a product of its own over
// the taps that its inputs meet, and nothing is multiplied by a zero that the stride leaves: `batch` counts (group, phase of
// h, phase of w). Rows are input channels of the group, columns (n, h / st, w / st) of the phase, the reduction (k, r, s)
// over the group's output channels and those taps, every $STEP-th. With g = $SHARED, the greatest common divisor of stride
// and dilation, $STEP is st / g, and $INVERSE times dil / g is 1 modulo $STEP. $R, $S and $STRIDE are text, too: divisions
// by them cost little then. The operands' own piece, core/gemm/operands_f32.wgsl or a twin, reads an element: a is w, b is
// dy, gathered.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    c: u32, h: u32, w: u32, p: u32, q: u32, padding: u32, dilation: u32, groups: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

// A phase meets the larger or the smaller number of taps along an axis, or none.
//@ let mostR = (R + STEP - 1)/STEP
//@ let mostS = (S + STEP - 1)/STEP
//@ let leastR = R/STEP + 1/(R/STEP + 1)
//@ let leastS = S/STEP + 1/(S/STEP + 1)
// More than a buffer has elements, with any of them as the index of a row.
const NOWHERE = 0x80000000u;

// The index in dy of a column's image and group, and where its last window would begin.
struct Column { first: u32, bottom: u32, right: u32 }

// A channel of the group's outputs and a tap.
struct Tap { channel: u32, r: u32, s: u32 }

// Functions that decide how long a loop with barriers is take z, the value of `batch`, from the workgroup's own index:
// browsers take a private variable for one that may differ between the invocations of a workgroup.
fn phase(z: u32) -> vec2<u32> {
    return vec2<u32>(z / $STRIDE % $STRIDE, z % $STRIDE);
}

fn out_channels() -> u32 {
    return p.k / ($mostR * $mostS);
}

// The first tap of each axis that the phase meets.
fn first(z: u32) -> vec2<u32> {
    return (phase(z) + p.padding) % $STRIDE / $SHARED * $INVERSE % $STEP;
}

// How many it meets.
fn met(z: u32) -> vec2<u32> {
    let taps = (vec2<u32>($R, $S) + (${STEP}u - 1u) - first(z)) / $STEP;
    return select(vec2<u32>(0u), taps, (phase(z) + p.padding) % $STRIDE % $SHARED == vec2<u32>(0u));
}

fn depth(z: u32) -> u32 {
    let taps = met(z);
    return out_channels() * taps.x * taps.y;
}

fn tap_of(k: u32) -> Tap {
    let taps = met(batch);
    let begin = first(batch);
    var tap = Tap(0u, 0u, 0u);
    //@ for r in leastR..mostR+1
    //@ for s in leastS..mostS+1
    if (all(taps == vec2<u32>($r, $s))) {
        tap = Tap(k / ($r * $s), begin.x + k % ($r * $s) / $s * $STEP, begin.y + k % $s * $STEP);
    }
    //@ end
    //@ end
    return tap;
}

fn row_of(m: u32) -> u32 {
    return (batch / ($STRIDE * $STRIDE) * out_channels() * p.m + m) * $R * $S;
}

// Row and column of an input of the phase in its plane.
fn place(at: u32) -> vec2<u32> {
    let width = (p.w + (${STRIDE}u - 1u)) / $STRIDE;
    return vec2<u32>(at / width, at % width) * $STRIDE + phase(batch);
}

fn plane() -> u32 {
    return ((p.h + (${STRIDE}u - 1u)) / $STRIDE) * ((p.w + (${STRIDE}u - 1u)) / $STRIDE);
}

fn column_of(n: u32) -> Column {
    let last = place(n % plane()) + p.padding;
    let image = n / plane() * p.groups + batch / ($STRIDE * $STRIDE);
    return Column(image * out_channels() * p.p * p.q, last.x, last.y);
}

fn a_at(row: u32, k: u32) -> f32 {
    let tap = tap_of(k);
    return a_get(tap.channel * p.m * $R * $S + row + tap.r * $S + tap.s);
}

fn b_at(column: Column, k: u32) -> f32 {
    let tap = tap_of(k);
    // u32 wraps where a tap lies before the first output; the quotient is then past the last one.
    let h = (column.bottom - tap.r * p.dilation) / $STRIDE;
    let w = (column.right - tap.s * p.dilation) / $STRIDE;
    let inside = (h < p.p) & (w < p.q);
    let at = column.first + (tap.channel * p.p + h) * p.q + w;
    return select(0.0, b_get(select(0u, at, inside)), inside);
}

fn c_row(m: u32, slice: u32) -> u32 {
    let images = p.n / plane();
    return ((slice * images * p.groups + batch / ($STRIDE * $STRIDE)) * p.m + m) * p.h * p.w;
}

// From NOWHERE on past the end of a plane that the stride does not divide.
fn c_column(n: u32) -> u32 {
    let at = place(n % plane());
    let here = n / plane() * p.groups * p.m * p.h * p.w + at.x * p.w + at.y;
    return select(NOWHERE, here, (at.x < p.h) & (at.y < p.w));
}
