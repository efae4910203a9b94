// attention.delta, an invocation a row: (lse, D) of each query, D = ⟨dy, y⟩ = Σ_j P_ij·⟨dy, v_j⟩.

struct Delta { rows: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> p: Delta;
@group(0) @binding(1) var<storage, read> y: array<Held>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<Held>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.rows) {
        return;
    }
    var sum = 0.0;
    for (var k = i * p.vectors; k < (i + 1u) * p.vectors; k++) {
        sum += dot_v(got(y[place(k)], k), got(dy[place(k)], k));
    }
    stats[i] = vec2<f32>(lse[i], sum);
}
