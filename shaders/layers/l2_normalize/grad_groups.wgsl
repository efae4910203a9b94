// l2_normalize.grad: dx = (dy − y ⟨y, dy⟩) / ‖x‖; where ‖x‖ < eps the divisor is constant and dx = dy / eps.
// A workgroup a row, so that neighbours load neighbours.

struct Params { rows: u32, vectors: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<V>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<V>;
@group(0) @binding(4) var<storage, read_write> dx: array<V>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let i = group_index(wid, groups);
    let row = i * p.vectors;
    let end = select(row, row + p.vectors, i < p.rows); // the surplus of a folded grid walks nothing
    var part = 0.0;
    for (var k = row + lane; k < end; k += 64u) {
        part += dot_v(y[k], dy[k]);
    }
    let length = norm[min(i, p.rows - 1u)];
    let along = select(sum64(me, vec2<f32>(part, 0.0)).x, 0.0, length < p.eps);
    let factor = 1.0 / select(length, p.eps, length < p.eps); // not max(), which may lose a NaN
    for (var k = row + lane; k < end; k += 64u) {
        dx[k] = factor * (dy[k] - along * y[k]);
    }
}
