// As through_batch.wgsl, where the loss also reads the statistics themselves: d variance / d x = 2·(x − mean)/M and
// d mean / d x = 1/M are added.

@group(0) @binding(7) var<storage, read> dmean: array<f32>;
@group(0) @binding(8) var<storage, read> dvariance: array<f32>;

fn through_statistics(channel: u32, from_dy: f32, rstd: f32, sums: vec2<f32>) -> vec2<f32> {
    let through_y = -from_dy * vec2<f32>(rstd * rstd * sums.y, sums.x);
    return (through_y + vec2<f32>(2.0 * dvariance[channel], dmean[channel])) / (f32(p.total) * WIDTH);
}
