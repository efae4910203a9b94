// batch_norm.through_given, an invocation a channel of a sub-batch: adds what flows into dx where the loss also reads the
// statistics themselves, d variance / d x = 2·w·(x − mean)/M and d mean / d x = w/M, to the coefficients.

@group(0) @binding(1) var<storage, read> dmean: array<f32>;
@group(0) @binding(2) var<storage, read> dvariance: array<f32>;
@group(0) @binding(3) var<storage, read_write> coefficients: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let channel = group_index(wid, groups) * 64u + lane;
    if (channel >= p.channels) {
        return;
    }
    let counted = count_of(channel, 0u, p.walks);
    // Of weights 0 nothing flows: grad multiplies by them. Not max(), which may lose a NaN.
    let count = select(counted, 1e-30, counted < 1e-30);
    coefficients[channel] += vec4<f32>(0.0, 2.0 * dvariance[channel] / count, dmean[channel] / count, 0.0);
}
