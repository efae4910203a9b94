// batch_norm.grad_finish, an invocation a channel: adds the chunks in order to dweight = rstd·Σ dy·(x − mean) and
// dbias = Σ dy, and writes (from_dy, from_x, constant, 0) of dx = from_dy·dy + from_x·(x − mean) + constant.

@group(0) @binding(1) var<storage, read> parts: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> variance: array<f32>;
@group(0) @binding(4) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(5) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(6) var<storage, read_write> coefficients: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let channel = group_index(wid, groups) * 64u + lane;
    if (channel >= p.channels) {
        return;
    }
    var sums = vec2<f32>(0.0);
    for (var chunk = 0u; chunk < p.chunks; chunk++) {
        sums += parts[chunk * p.channels + channel];
    }
    let rstd = rstd_of(variance[channel]);
    let from_dy = weight[channel] * rstd;
    dbias[channel] = sums.x;
    dweight[channel] = rstd * sums.y;
    coefficients[channel] = vec4<f32>(from_dy, through_statistics(channel, from_dy, rstd, sums), 0.0);
}
