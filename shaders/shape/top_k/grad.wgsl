// top_k.grad: dx is dy at the k indices of a row, which differ, and 0 elsewhere. A workgroup a row: its lanes write the
// zeros, wait for each other, and write dy over them.

struct Params { rows: u32, length: u32, keep: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(wid, groups);
    if (row >= p.rows) {
        return;
    }
    for (var i = lane; i < p.length; i += 64u) {
        dx[row * p.length + i] = 0.0;
    }
    storageBarrier();
    for (var i = lane; i < p.keep; i += 64u) {
        dx[row * p.length + min(indices[row * p.keep + i], p.length - 1u)] = dy[row * p.keep + i];
    }
}
