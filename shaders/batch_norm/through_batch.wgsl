// What flows into dx through the batch's variance, times (x − mean), and through its mean, for M elements a channel:
// −weight·rstd³·Σ dy·(x − mean)/M and −weight·rstd·Σ dy/M.

fn through_statistics(channel: u32, from_dy: f32, rstd: f32, sums: vec2<f32>) -> vec2<f32> {
    return -from_dy * vec2<f32>(rstd * rstd * sums.y, sums.x) / (f32(p.total) * WIDTH);
}
