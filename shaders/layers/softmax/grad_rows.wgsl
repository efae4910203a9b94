// softmax.grad from y: a sum over the row, then dx. One invocation a row: no barriers, for software adapters.

struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<V>;
@group(0) @binding(2) var<storage, read> dy: array<V>;

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
        sum += summed(y[k], dy[k]);
    }
    for (var k = row; k < row + p.vectors; k++) {
        put(k, slope(y[k], dy[k], sum));
    }
}
