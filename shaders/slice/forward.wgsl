// slice: y[i] = x[start + i].
// An invocation copies one element; a workgroup owns 256 in a row; the surplus of the last one is guarded.

struct Params { elements: u32, start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 256u + lane;
    if (i < p.elements) {
        y[i] = x[p.start + i];
    }
}
