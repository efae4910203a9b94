// permute: y in order, each element fetched from where it lies in x: y[c] = x[Σ c_i s_i], s the strides of x in the order
// of y's axes. An invocation fills four elements in a row of y; a workgroup owns 256. Reads are coalesced where the last
// axis keeps its place; tiled.wgsl is for the rest. The last vec4 may reach into the padding: its fetch is held back.

struct Params { d1: u32, d2: u32, d3: u32, s0: u32, s1: u32, s2: u32, s3: u32, elements: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read_write> y: array<Four>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let v = group_index(wid, groups) * 64u + lane;
    if (4u * v >= p.elements) {
        return;
    }
    let inner = vec3<u32>(p.d1, p.d2, p.d3);
    y[v] = fetch(coordinates(4u * v, inner), inner, vec4<u32>(p.s0, p.s1, p.s2, p.s3));
}
