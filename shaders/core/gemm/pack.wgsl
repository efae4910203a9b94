// pack: y[panel, o, u, v, inner] = x at strides, zero outside; gives the software gemm kernels operands they can walk as
// vec4 without a guard. inner is a multiple of 4 and fastest; element e = panel · inner + (place in inner) is
// x[x_start + o·x_o + (u − u0)·x_u + (v − v0)·x_v + e·x_e] where u − u0 < u_len, v − v0 < v_len and e < e_len, else 0.
// An invocation writes one vec4; a workgroup 64 in a row, so that lanes write neighbours. Strides may wrap: a reversed
// order is a stride of −1.

struct Params {
    vectors: u32, outer: u32, u: u32, v: u32, inner4: u32,
    u0: u32, v0: u32, u_len: u32, v_len: u32, e_len: u32,
    x_start: u32, x_o: u32, x_u: u32, x_v: u32, x_e: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.vectors) {
        return;
    }
    let row = i / p.inner4;
    let block = row / (p.v * p.u);
    let e = ((block / p.outer) * p.inner4 + i % p.inner4) * 4u;
    let o = block % p.outer;
    let v = row % p.v - p.v0;
    let u = (row / p.v) % p.u - p.u0;
    var out = vec4<f32>(0.0);
    // Unsigned wrap makes what lies before the first element large, so one comparison guards both ends.
    if (u < p.u_len && v < p.v_len) {
        let at = p.x_start + o * p.x_o + u * p.x_u + v * p.x_v + e * p.x_e;
        //@ for i in 0..4
        if (e + $i < p.e_len) {
            out[$i] = x[at + $i * p.x_e];
        }
        //@ end
    }
    y[i] = out;
}
