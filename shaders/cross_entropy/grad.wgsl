// cross_entropy.grad: dx_ik = factor_i (exp(x_ik − lse_i) − [k = label_i]). One invocation a row.

struct Params { rows: u32, classes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let total = weight_sum(lane, p.rows); // before any lane leaves: it holds barriers
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.rows) {
        return;
    }
    let row = i * p.classes;
    let f = factor(i, total);
    let shift = lse[i];
    let label = min(labels[i], p.classes - 1u);
    for (var k = 0u; k < p.classes; k++) {
        dx[row + k] = f * (exp(logits[row + k] - shift) - select(0.0, 1.0, k == label));
    }
}
