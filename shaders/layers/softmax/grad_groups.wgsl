// softmax.grad from y: a sum over the row, then dx. A workgroup a row, so that neighbours load neighbours.

struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<V>;
@group(0) @binding(2) var<storage, read> dy: array<V>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let i = group_index(wid, groups);
    let row = i * p.vectors;
    let end = select(row, row + p.vectors, i < p.rows); // the surplus of a folded grid walks nothing
    var part = 0.0;
    for (var k = row + lane; k < end; k += 64u) {
        part += summed(y[k], dy[k]);
    }
    let sum = sum64(me, vec2<f32>(part, 0.0)).x;
    for (var k = row + lane; k < end; k += 64u) {
        put(k, slope(y[k], dy[k], sum));
    }
}
