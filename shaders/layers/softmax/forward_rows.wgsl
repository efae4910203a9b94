// softmax: y = exp(a) / Σ exp(a), a = (x − top) / T; log_softmax: a − log Σ exp(a). One invocation a row, which it walks
// for the top, for the sum and to write: no barriers, for software adapters.

struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read_write> y: array<V>;

fn x_at(i: u32) -> V {
    return got(x[place(i)], i);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 8u + lane;
    if (i >= p.rows) {
        return;
    }
    let row = i * p.vectors;
    var tops = V(LOWEST);
    for (var k = row; k < row + p.vectors; k++) {
        tops = max(tops, x_at(k));
    }
    let top = max_v(tops);
    var sums = V(0.0);
    for (var k = row; k < row + p.vectors; k++) {
        sums += exp((x_at(k) - top) * p.inverse_temperature);
    }
    let sum = dot_v(sums, V(1.0));
    for (var k = row; k < row + p.vectors; k++) {
        y[k] = result((x_at(k) - top) * p.inverse_temperature, sum);
    }
}
