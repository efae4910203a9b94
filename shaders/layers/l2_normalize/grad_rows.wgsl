// l2_normalize.grad: dx = (dy − y ⟨y, dy⟩) / ‖x‖; where ‖x‖ < eps the divisor is constant and dx = dy / eps.
// One invocation a row: no barriers, for software adapters.

struct Params { rows: u32, vectors: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<V>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<V>;
@group(0) @binding(4) var<storage, read_write> dx: array<V>;

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
        sum += dot_v(y[k], dy[k]);
    }
    let short = norm[i] < p.eps;
    let along = select(sum, 0.0, short);
    let factor = 1.0 / select(norm[i], p.eps, short); // not max(), which may lose a NaN
    for (var k = row; k < row + p.vectors; k++) {
        dx[k] = factor * (dy[k] - along * y[k]);
    }
}
