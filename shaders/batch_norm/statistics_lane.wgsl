// batch_norm.statistics, an invocation per (chunk, channel): mean and Σ(x − mean)² of the chunk.

@group(0) @binding(1) var<storage, read> x: array<Cell>;
@group(0) @binding(2) var<storage, read_write> parts: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups) * 64u + lane;
    if (at >= p.chunks * p.channels) {
        return;
    }
    let chunk = at / p.channels;
    let channel = at % p.channels;
    var m = Moments(0.0, 0.0, 0.0);
    for (var n = chunk * p.per; n < (chunk + 1u) * p.per; n++) {
        var i = n * p.walk_stride + channel * p.channel_stride;
        var left = before(n + 1u) - before(n);
        for (; left >= 4u; left -= 4u) {
            m = merge(m, moments_of_four(x[i], x[i + p.step], x[i + 2u * p.step], x[i + 3u * p.step]));
            i += 4u * p.step;
        }
        for (; left > 0u; left--) {
            m = merge(m, moments_of_one(x[i]));
            i += p.step;
        }
    }
    parts[at] = vec2<f32>(m.mean, m.m2);
}
