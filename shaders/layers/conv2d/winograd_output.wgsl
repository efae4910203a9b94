// Winograd F(2×2, 3×3), output: the 2 × 2 outputs Aᵀ·s·A of the 4 × 4 sums s = m[·, k, t] of each window t, with
// Aᵀ = [1 1 1 0; 0 1 −1 −1], into y [N, K, P, Q]. An invocation computes one window of one channel: 16 loads, of which
// neighbours read neighbours, and up to 4 stores, guarded; a workgroup owns 64 windows in a row of [K, T]. `finish`:
// shaders/core/epilogue/.

struct Params {
    windows: u32, padded: u32, k: u32,
    tall: u32, wide: u32, // windows of a column and of a row
    p: u32, q: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> m: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// Aᵀ·s of four numbers.
fn gathered(s: vec4<f32>) -> vec2<f32> {
    return vec2<f32>(s.x + s.y + s.z, s.y - s.z - s.w);
}

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
    //@ for r in 0..4
    //@ let z = r * 4
    let s_$r = vec4<f32>(m[at + $z * place], m[at + ($z + 1u) * place], m[at + ($z + 2u) * place], m[at + ($z + 3u) * place]);
    let row_$r = gathered(s_$r);
    //@ end
    let left = gathered(vec4<f32>(row_0.x, row_1.x, row_2.x, row_3.x));
    let right = gathered(vec4<f32>(row_0.y, row_1.y, row_2.y, row_3.y));
    let row = (t / p.wide) % p.tall * 2u + vec4<u32>(0u, 0u, 1u, 1u);
    let column = (t % p.wide) * 2u + vec4<u32>(0u, 1u, 0u, 1u);
    let inside = (row < vec4<u32>(p.p)) & (column < vec4<u32>(p.q));
    let plane = ((t / (p.wide * p.tall)) * p.k + k) * p.p;
    let to = (plane + min(row, vec4<u32>(p.p - 1u))) * p.q + min(column, vec4<u32>(p.q - 1u));
    let out = finish(vec4<f32>(left.x, right.x, left.y, right.y), k, column, to);
    //@ for i in 0..4
    if (inside[$i]) {
        y[to[$i]] = out[$i];
    }
    //@ end
}
