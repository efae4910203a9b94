// Winograd, output: the $OUT × $OUT outputs Aᵀ·s·A of the $IN × $IN sums s = m[·, k, t] of each window t, into y [N, K, P, Q].
// `gathered`, which is Aᵀ along an axis: winograd_f2.wgsl, winograd_f4.wgsl. An invocation computes one window of one
// channel: $IN·$IN loads, of which neighbours read neighbours, and up to $OUT·$OUT stores, guarded; a workgroup owns 64 windows in a
// row of [K, T]. `finish`: shaders/core/epilogue/.

struct Params {
    windows: u32, padded: u32, k: u32,
    tall: u32, wide: u32, // windows of a column and of a row
    p: u32, q: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> m: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    let k = i / p.windows;
    let t = i % p.windows;
    if (k >= p.k) {
        return;
    }
    let at = k * p.padded + t;
    let place = p.k * p.padded;
    //@ for r in 0..IN
    let row_$r = gathered(array<f32, $IN>(
        //@ for s in 0..IN
        //@ let z = r*IN + s
        m[at + $z * place],
        //@ end
    ));
    //@ end
    //@ for j in 0..OUT
    let column_$j = gathered(array<f32, $IN>(
        //@ for r in 0..IN
        row_$r[$j],
        //@ end
    ));
    //@ end
    let top = (t / p.wide) % p.tall * $OUT;
    let left = (t % p.wide) * $OUT;
    let plane = ((t / (p.wide * p.tall)) * p.k + k) * p.p;
    // Four outputs at a time, along rows.
    //@ for g in 0..OUT*OUT/4
    let row_of_$g = top + (4u * $g + vec4<u32>(0u, 1u, 2u, 3u)) / $OUT;
    let column_of_$g = left + vec4<u32>(0u, 1u, 2u, 3u) % $OUT;
    let inside_$g = (row_of_$g < vec4<u32>(p.p)) & (column_of_$g < vec4<u32>(p.q));
    let to_$g = (plane + min(row_of_$g, vec4<u32>(p.p - 1u))) * p.q + min(column_of_$g, vec4<u32>(p.q - 1u));
    let out_$g = finish(vec4<f32>(
        //@ for e in 0..4
        //@ let i = (4*g + e) / OUT
        //@ let j = e % OUT
        column_$j[$i],
        //@ end
    ), k, column_of_$g, to_$g);
    //@ for e in 0..4
    if (inside_$g[$e]) {
        y[to_$g[$e]] = out_$g[$e];
    }
    //@ end
    //@ end
}
