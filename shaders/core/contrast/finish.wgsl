// contrast.finish: lse_i and loss_i = lse_i − s_i,positive from the parts of a row, one after the other. An invocation a
// row. start(i), the loss's, is what the row has besides: (maximum, sum, s at the positive).

//@ let parts = STARTS + 1
//@ let lse = STARTS + 2
//@ let losses = STARTS + 3
@group(0) @binding($parts) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding($lse) var<storage, read_write> lse: array<f32>;
@group(0) @binding($losses) var<storage, read_write> losses: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.rows) {
        return;
    }
    let first = start(i);
    let count = p.slices * ${PARTS}u;
    var top = first.x;
    for (var part = 0u; part < count; part++) {
        top = max(top, parts[part * p.rows + i].x);
    }
    var sum = first.y * exp(first.x - top);
    var at_positive = first.z;
    for (var part = 0u; part < count; part++) {
        let v = parts[part * p.rows + i];
        sum += v.y * exp(v.x - top);
        at_positive += v.z;
    }
    let log_sum = log(sum);
    lse[i] = top + log_sum;
    losses[i] = log_sum + (top - at_positive);
}
