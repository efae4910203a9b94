// batch_norm.apply, an invocation per (chunk, channel): y = (x − mean)·rstd·weight + bias. The mean is taken off
// first: folding it into the bias would cancel digits where it is large.

@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> variance: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups) * 64u + lane;
    if (at >= p.chunks * p.channels) {
        return;
    }
    let chunk = at / p.channels;
    let channel = at % p.channels;
    let middle = mean[statistic_of(channel)];
    let scale = rstd_of(variance[statistic_of(channel)]) * weight[affine_of(channel)];
    let shift = bias[affine_of(channel)];
    for (var n = chunk * p.per; n < (chunk + 1u) * p.per; n++) {
        var i = start_of(channel) + n * p.walk_stride;
        var left = before(n + 1u) - before(n);
        for (; left >= 4u; left -= 4u) {
            //@ for k in 0..4
            let j$k = i + $k * p.step;
            put(j$k, after(j$k, (got(x[place(j$k)], j$k) - middle) * scale + shift));
            //@ end
            i += 4u * p.step;
        }
        for (; left > 0u; left--) {
            put(i, after(i, (got(x[place(i)], i) - middle) * scale + shift));
            i += p.step;
        }
    }
}
