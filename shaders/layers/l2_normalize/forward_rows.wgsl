// l2_normalize: y = x / max(‖x‖, eps), norm = ‖x‖. One invocation a row: no barriers, for software adapters.

struct Params { rows: u32, vectors: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read_write> y: array<V>;
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 8u + lane;
    if (i >= p.rows) {
        return;
    }
    let row = i * p.vectors;
    var sum = 0.0;
    for (var k = row; k < row + p.vectors; k++) {
        sum += dot_v(x[k], x[k]);
    }
    let length = sqrt(sum);
    let factor = 1.0 / select(length, p.eps, length < p.eps); // not max(), which may lose a NaN
    for (var k = row; k < row + p.vectors; k++) {
        y[k] = factor * x[k];
    }
    norm[i] = length;
}
