// attention.softmax, naive: a row of scores becomes P_ij = exp(s_ij − lse_i), an invocation a row; a row that sees no key
// becomes 0.

@group(0) @binding(1) var<storage, read_write> scores: array<f32>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(wid, groups) * 64u + lane;
    if (row >= p.total * p.t) {
        return;
    }
    var top = LOWEST;
    for (var j = row * p.s; j < (row + 1u) * p.s; j++) {
        top = max(top, scores[j]);
    }
    var total = 0.0;
    for (var j = row * p.s; j < (row + 1u) * p.s; j++) {
        let weight = select(exp(scores[j] - top), 0.0, scores[j] <= LOWEST); // NaN stays
        scores[j] = weight;
        total += weight;
    }
    let share = select(1.0 / total, 0.0, total == 0.0);
    for (var j = row * p.s; j < (row + 1u) * p.s; j++) {
        scores[j] *= share;
    }
    lse[row] = select(top + log(total), LOWEST, total == 0.0);
}
