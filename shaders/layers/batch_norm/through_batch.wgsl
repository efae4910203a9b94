// What flows into dx through the batch's variance, times (x − mean), and through its mean, for M elements a channel,
// each counted as often as its sample's weight says: −weight·rstd³·Σ dy·(x − mean)/M and −weight·rstd·Σ dy/M.

fn through_statistics(channel: u32, from_dy: f32, rstd: f32, sums: vec2<f32>) -> vec2<f32> {
    let count = count_of(channel, 0u, p.walks);
    let through = -from_dy * vec2<f32>(rstd * rstd * sums.y, sums.x) / count;
    return select(through, vec2<f32>(0.0), count == 0.0);
}
