// attention.delta, an invocation a row: (lse, D) of each query, D = ⟨dy, y⟩ = Σ_j P_ij·⟨dy, v_j⟩. An invocation walks a row
// of y and of dy, which lie alike; neighbours are p.y.row cells apart. p.width and strides count cells.

@group(0) @binding(1) var<storage, read> y: array<Held>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<Held>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.total * p.t) {
        return;
    }
    let first = start(p.y, p.heads, i / p.t) + i % p.t * p.y.row;
    var sum = 0.0;
    for (var k = first; k < first + p.width; k++) {
        sum += dot_v(got(y[place(k)], k), got(dy[place(k)], k));
    }
    stats[i] = vec2<f32>(lse[i], sum);
}
