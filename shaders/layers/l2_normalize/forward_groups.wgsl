// l2_normalize: y = x / max(‖x‖, eps), norm = ‖x‖. A workgroup a row, so that neighbours load neighbours.

struct Params { rows: u32, vectors: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read_write> y: array<V>;
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let i = group_index(wid, groups);
    let row = i * p.vectors;
    let end = select(row, row + p.vectors, i < p.rows); // the surplus of a folded grid walks nothing
    var part = 0.0;
    for (var k = row + lane; k < end; k += 64u) {
        part += dot_v(x[k], x[k]);
    }
    let length = sqrt(sum64(me, vec2<f32>(part, 0.0)).x);
    let factor = 1.0 / select(length, p.eps, length < p.eps); // not max(), which may lose a NaN
    for (var k = row + lane; k < end; k += 64u) {
        y[k] = factor * x[k];
    }
    if (lane == 0u && i < p.rows) {
        norm[i] = length;
    }
}
