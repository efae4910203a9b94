// cross_entropy.rows: lse_i = log Σ_k exp(x_ik), loss_i = lse_i − x_i,label. One invocation a row: classes are few.
// The shift by the row's maximum keeps exp in range; the loss is summed from small parts, not from lse − x.

struct Params { rows: u32, classes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.rows) {
        return;
    }
    let row = i * p.classes;
    var top = logits[row];
    for (var k = 1u; k < p.classes; k++) {
        top = max(top, logits[row + k]);
    }
    var sum = 0.0;
    for (var k = 0u; k < p.classes; k++) {
        sum += exp(logits[row + k] - top);
    }
    let log_sum = log(sum);
    losses[i] = log_sum + (top - logits[row + min(labels[i], p.classes - 1u)]);
    lse[i] = top + log_sum;
}
