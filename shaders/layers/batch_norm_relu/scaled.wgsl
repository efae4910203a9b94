// Scale and shift of a channel: y = (x − mean)·scale + shift.

@group(0) @binding(5) var<storage, read> variance: array<f32>;
@group(0) @binding(6) var<storage, read> weight: array<f32>;
@group(0) @binding(7) var<storage, read> bias: array<f32>;

fn norm_of(channel: u32) -> vec2<f32> {
    let scale = rstd_of(variance[statistic_of(channel)]) * weight[affine_of(channel)];
    return vec2<f32>(scale, bias[affine_of(channel)]);
}
