// Winograd, input: v[z, c, t] = (Bᵀ·d·B)[z] of each $IN × $IN window d of x [N, C, H, W] that $OUT by $OUT outputs see, t
// counting the windows (n, p / $OUT, q / $OUT). `differences`, which is Bᵀ along an axis: winograd_f2.wgsl, winograd_f4.wgsl.
// An invocation transforms one window of one channel: $IN·$IN loads, guarded at the border, and as many stores, of which
// neighbours write neighbours; a workgroup owns 64 windows in a row of [C, T]. T is padded to a multiple of 4 with zeros.

struct Params {
    windows: u32, padded: u32, c: u32,
    tall: u32, wide: u32, // windows of a column and of a row
    h: u32, w: u32, padding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    let c = i / p.padded;
    let t = i % p.padded;
    if (c >= p.c) {
        return;
    }
    // u32 wraps in the border, and one comparison guards both ends.
    let left = (t % p.wide) * $OUT - p.padding;
    let top = ((t / p.wide) % p.tall) * $OUT - p.padding;
    let plane = ((min(t, p.windows - 1u) / (p.wide * p.tall)) * p.c + c) * p.h;
    //@ for s in 0..IN
    let inside_$s = (left + $s < p.w) & (t < p.windows);
    let near_$s = min(left + $s, p.w - 1u);
    //@ end
    //@ for r in 0..IN
    let line_$r = (plane + min(top + $r, p.h - 1u)) * p.w;
    let there_$r = top + $r < p.h;
    let row_$r = differences(array<f32, $IN>(
        //@ for s in 0..IN
        select(0.0, x[line_$r + near_$s], there_$r & inside_$s),
        //@ end
    ));
    //@ end
    let first = c * p.padded + t;
    let place = p.c * p.padded;
    //@ for j in 0..IN
    let column_$j = differences(array<f32, $IN>(
        //@ for r in 0..IN
        row_$r[$j],
        //@ end
    ));
    //@ for i in 0..IN
    //@ let z = i*IN + j
    v[first + $z * place] = column_$j[$i];
    //@ end
    //@ end
}
