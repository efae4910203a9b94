// Winograd F(2×2, 3×3), input: v[z, c, t] = (Bᵀ·d·B)[z] of each 4 × 4 window d of x [N, C, H, W] that two by two outputs
// see, t counting the windows (n, p / 2, q / 2), with Bᵀ = [1 0 −1 0; 0 1 1 0; 0 −1 1 0; 0 1 0 −1].
// An invocation transforms one window of one channel: 16 loads, guarded at the border, and 16 stores, of which neighbours
// write neighbours; a workgroup owns 64 windows in a row of [C, T]. T is padded to a multiple of 4 with zeros.

struct Params {
    windows: u32, padded: u32, c: u32,
    tall: u32, wide: u32, // windows of a column and of a row
    h: u32, w: u32, padding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;

// Bᵀ·d of four numbers.
fn differences(d: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(d.x - d.z, d.y + d.z, d.z - d.y, d.y - d.w);
}

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
    let left = (t % p.wide) * 2u - p.padding + vec4<u32>(0u, 1u, 2u, 3u);
    let top = ((t / p.wide) % p.tall) * 2u - p.padding;
    let plane = ((min(t, p.windows - 1u) / (p.wide * p.tall)) * p.c + c) * p.h;
    let column_inside = (left < vec4<u32>(p.w)) & vec4<bool>(t < p.windows);
    let near = min(left, vec4<u32>(p.w - 1u));
    //@ for r in 0..4
    let inside_$r = column_inside & vec4<bool>(top + $r < p.h);
    let at_$r = (plane + min(top + $r, p.h - 1u)) * p.w + near;
    let d_$r = vec4<f32>(x[at_$r.x], x[at_$r.y], x[at_$r.z], x[at_$r.w]);
    let row_$r = differences(select(vec4<f32>(0.0), d_$r, inside_$r));
    //@ end
    let first = c * p.padded + t;
    //@ for j in 0..4
    let column_$j = differences(vec4<f32>(row_0[$j], row_1[$j], row_2[$j], row_3[$j]));
    //@ end
    //@ for i in 0..4
    //@ for j in 0..4
    //@ let z = i*4 + j
    v[first + $z * p.c * p.padded] = column_$j[$i];
    //@ end
    //@ end
}
