// group_norm.grad_affine, an invocation a channel: dweight = Σ_n rstd·Σ dy·(x − mean) and dbias = Σ_n Σ dy over the
// samples n in order. Neighbouring invocations read neighbouring channels.

@group(0) @binding(1) var<storage, read> parts: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> variance: array<f32>;
@group(0) @binding(3) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(4) var<storage, read_write> dbias: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let real = group_index(wid, groups) * 64u + lane;
    if (real >= p.real) {
        return;
    }
    var affine = vec2<f32>(0.0);
    for (var channel = real; channel < p.channels; channel += p.real) {
        let sums = parts[channel];
        affine += vec2<f32>(rstd_of(variance[statistic_of(channel)]) * sums.y, sums.x);
    }
    dweight[real] = affine.x;
    dbias[real] = affine.y;
}
