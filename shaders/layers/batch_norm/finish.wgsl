// batch_norm.finish, an invocation a channel of a sub-batch: merges the chunks, in order, into the mean and the biased variance.

@group(0) @binding(2) var<storage, read> parts: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> variance: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let channel = group_index(wid, groups) * 64u + lane;
    if (channel >= p.channels) {
        return;
    }
    var m = Moments(0.0, 0.0, 0.0);
    for (var chunk = 0u; chunk < p.chunks; chunk++) {
        let count = count_of(channel, chunk * p.per, (chunk + 1u) * p.per);
        let part = parts[chunk * p.channels + channel];
        m = merge(m, Moments(count, part.x, part.y));
    }
    mean[channel] = mean_of(channel, m);
    variance[channel] = variance_of(m);
}
