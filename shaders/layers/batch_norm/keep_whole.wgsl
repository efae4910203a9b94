// What statistics of a chunk become where a channel is one chunk: its mean and variance, with no kernel after. They have the
// bits that batch_norm.finish gives one part. Its twin is keep_part.wgsl.

@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> variance: array<f32>;

fn keep(channel: u32, part: Moments) {
    let count = count_of(channel, 0u, p.per);
    let m = merge(Moments(0.0, 0.0, 0.0), Moments(count, part.mean, part.m2));
    mean[channel] = mean_of(channel, m);
    variance[channel] = variance_of(m);
}
