// batch_norm.grad_finish, an invocation a channel of x: for each sub-batch adds the chunks in order and writes
// (from_dy, from_x, constant, shift) of dx = from_dy·dy + w·(from_x·(x − mean) + constant); adds the sub-batches in order
// to dweight = Σ rstd·Σ dy·(x − mean) and dbias = Σ Σ dy.

@group(0) @binding(1) var<storage, read> parts: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> variance: array<f32>;
@group(0) @binding(4) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(5) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(6) var<storage, read_write> coefficients: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let real = group_index(wid, groups) * 64u + lane;
    if (real >= p.real) {
        return;
    }
    var affine = vec2<f32>(0.0);
    for (var channel = real; channel < p.channels; channel += p.real) {
        var sums = vec2<f32>(0.0);
        for (var chunk = 0u; chunk < p.chunks; chunk++) {
            sums += parts[chunk * p.channels + channel];
        }
        let rstd = rstd_of(variance[channel]);
        let from_dy = weight[real] * rstd;
        affine += vec2<f32>(rstd * sums.y, sums.x);
        coefficients[channel] = vec4<f32>(from_dy, through_statistics(channel, from_dy, rstd, sums), shift_in(real));
    }
    dweight[real] = affine.x;
    dbias[real] = affine.y;
}
