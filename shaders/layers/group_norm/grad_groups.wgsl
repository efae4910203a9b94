// group_norm.grad_groups, an invocation a group of a sample: adds weight·(Σ dy, Σ dy·(x − mean)) of its channels in order
// and writes (from_dy, from_x, constant, 0) of dx = from_dy·dy + from_x·(x − mean) + constant for each of them. Every
// channel of a sample is one chunk here, and M is the number of elements of a group.

@group(0) @binding(1) var<storage, read> parts: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> variance: array<f32>;
@group(0) @binding(4) var<storage, read_write> coefficients: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let first = (group_index(wid, groups) * 64u + lane) * p.share;
    if (first >= p.channels) {
        return;
    }
    var sums = vec2<f32>(0.0);
    for (var channel = first; channel < first + p.share; channel++) {
        sums += weight[affine_of(channel)] * parts[channel];
    }
    let rstd = rstd_of(variance[statistic_of(first)]);
    let through = -rstd * vec2<f32>(rstd * rstd * sums.y, sums.x) / (f32(p.share * p.total) * WIDTH);
    for (var channel = first; channel < first + p.share; channel++) {
        coefficients[channel] = vec4<f32>(rstd * weight[affine_of(channel)], through, 0.0);
    }
}
