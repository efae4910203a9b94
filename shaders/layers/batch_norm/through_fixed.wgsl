// Given statistics do not depend on x: nothing flows through them into dx. Where they depend on something else, as
// those of several devices do, d mean = −weight·rstd·Σ dy and d variance = −weight·rstd³/2·Σ dy·(x − mean).

@group(0) @binding(7) var<storage, read_write> dmean: array<f32>;
@group(0) @binding(8) var<storage, read_write> dvariance: array<f32>;

fn through_statistics(channel: u32, from_dy: f32, rstd: f32, sums: vec2<f32>) -> vec2<f32> {
    dmean[channel] = -from_dy * sums.x;
    dvariance[channel] = -0.5 * from_dy * rstd * rstd * sums.y;
    return vec2<f32>(0.0);
}
