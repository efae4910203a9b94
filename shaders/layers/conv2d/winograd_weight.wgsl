// Winograd F(2×2, 3×3), weights: u[z, m, c] = (G·g·Gᵀ)[z] of each filter g = w[m, c], z counting the 4 × 4 places, with
// G = [1 0 0; ½ ½ ½; ½ −½ ½; 0 0 1] (Lavin and Gray 2015, arXiv 1509.09308, 4.1). Halves are exact.
// An invocation transforms one filter: 9 loads, 16 stores; a workgroup owns 64 in a row of [M, C], both padded for the
// product that follows, whose layout is in the strides: rows m lie in panels. Padding is written as zeros. Strides of w
// may wrap: the gradient to the input takes filters turned round, from their last tap, and m and c in each other's place.

struct Params {
    rows: u32, columns: u32, m: u32, c: u32, // padded and real sizes
    w_start: u32, w_m: u32, w_c: u32, w_tap: u32,
    panel: u32, u_panel: u32, u_m: u32, u_c: u32, u_z: u32, // rows of a panel; strides of u in elements
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> u: array<f32>;

// G·x of three numbers.
fn spread(a: f32, b: f32, c: f32) -> vec4<f32> {
    return vec4<f32>(a, 0.5 * (a + b + c), 0.5 * (a - b + c), c);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    let m = i / p.columns;
    let c = i % p.columns;
    if (m >= p.rows) {
        return;
    }
    let inside = (m < p.m) & (c < p.c);
    let at = select(p.w_start, p.w_start + m * p.w_m + c * p.w_c, inside);
    //@ for r in 0..3
    let row_$r = spread(w[at + (3u * $r) * p.w_tap], w[at + (3u * $r + 1u) * p.w_tap], w[at + (3u * $r + 2u) * p.w_tap]);
    //@ end
    let first = (m / p.panel) * p.u_panel + (m % p.panel) * p.u_m + c * p.u_c;
    //@ for j in 0..4
    let column_$j = select(vec4<f32>(0.0), spread(row_0[$j], row_1[$j], row_2[$j]), inside);
    //@ end
    //@ for i in 0..4
    //@ for j in 0..4
    //@ let z = i*4 + j
    u[first + $z * p.u_z] = column_$j[$i];
    //@ end
    //@ end
}
