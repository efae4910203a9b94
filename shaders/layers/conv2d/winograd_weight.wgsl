// Winograd, weights: u[z, m, c] = (G·g·Gᵀ)[z] of each filter g = w[m, c], z counting the $IN × $IN places. `spread`, which is
// G along an axis: winograd_f2.wgsl, winograd_f4.wgsl.
// An invocation transforms one filter: 9 loads, $IN·$IN stores; a workgroup owns 64 that lie side by side in u, so that
// neighbours write neighbours. As the product that follows wants it, u is [panels, z, C, rows of a panel] or, in one
// panel, [z, M, C]; M and C are padded with zeros. Strides of w may wrap: the gradient to the input takes filters turned
// round, from their last tap, and m and c in each other's place.

struct Params {
    rows: u32, columns: u32, m: u32, c: u32, // padded and real sizes of M and C
    w_start: u32, w_m: u32, w_c: u32, w_tap: u32,
    panel: u32, place: u32,     // rows of a panel, and its filters: elements from one z to the next
    along: u32, along_m: u32,   // how many filters lie side by side, and whether along m or along c
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> u: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    let panel = i / p.place;
    let in_panel = i % p.place;
    let near = in_panel % p.along;
    let far = in_panel / p.along;
    let m = panel * p.panel + select(far, near, p.along_m == 1u);
    let c = select(near, far, p.along_m == 1u);
    if (m >= p.rows) {
        return;
    }
    let inside = (m < p.m) & (c < p.c);
    let at = select(p.w_start, p.w_start + m * p.w_m + c * p.w_c, inside);
    //@ for r in 0..3
    let row_$r = spread(array<f32, 3>(
        //@ for s in 0..3
        w[at + (3u * $r + $s) * p.w_tap],
        //@ end
    ));
    //@ end
    //@ let places = IN*IN
    let first = panel * p.place * $places + in_panel;
    //@ for j in 0..IN
    let column_$j = spread(array<f32, 3>(row_0[$j], row_1[$j], row_2[$j]));
    //@ for i in 0..IN
    //@ let z = i*IN + j
    u[first + $z * p.place] = select(0.0, column_$j[$i], inside);
    //@ end
    //@ end
}
