// pack, four by four: what core/gemm/pack.wgsl does, for an x that lies along v (x_v = 1) in rows of whole vec4.
// An invocation reads a vec4 along v of each of four elements e, turns the 4 × 4 block in registers and writes four
// vec4: 8 accesses for 16 elements instead of 20, and on a software adapter it is accesses that cost. Blocks begin at
// v0, so that each is inside the row or outside of it, in a border of zeros; the first may reach before v = 0.
// A workgroup owns 64 blocks in a row of the flattened [panel, o, u, block of v, inner / 4], so that lanes write
// neighbours. x_start, x_o, x_u and x_e are multiples of 4 and so is v_len.

struct Params {
    vectors: u32, outer: u32, u: u32, v: u32, inner4: u32,
    u0: u32, v0: u32, u_len: u32, v_len: u32, e_len: u32,
    x_start: u32, x_o: u32, x_u: u32, x_v: u32, x_e: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    let before = (p.v0 + 3u) / 4u; // blocks in front of the row
    let blocks = before + (p.v - p.v0 + 3u) / 4u;
    let row = i / (p.inner4 * blocks); // (panel, o, u)
    let rows = p.vectors / (p.inner4 * p.v);
    if (row >= rows) {
        return;
    }
    let inner = i % p.inner4;
    let block = (i / p.inner4) % blocks - before; // wraps in front of the row
    let e = ((row / (p.u * p.outer)) * p.inner4 + inner) * 4u;
    let u = row % p.u - p.u0;
    //@ for e in 0..4
    var x_$e = vec4<f32>(0.0);
    //@ end
    // Unsigned wrap makes what lies before the first element large, so one comparison guards both ends.
    if (u < p.u_len && block < p.v_len / 4u) {
        let at = (p.x_start + ((row / p.u) % p.outer) * p.x_o + u * p.x_u + e * p.x_e) / 4u + block;
        //@ for e in 0..4
        if (e + $e < p.e_len) {
            x_$e = x[at + $e * (p.x_e / 4u)];
        }
        //@ end
    }
    let v = p.v0 + block * 4u; // wraps too
    //@ for i in 0..4
    if (v + $i < p.v) {
        y[(row * p.v + v + $i) * p.inner4 + inner] = vec4<f32>(x_0[$i], x_1[$i], x_2[$i], x_3[$i]);
    }
    //@ end
}
