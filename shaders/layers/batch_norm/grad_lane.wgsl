// batch_norm.grad, an invocation per (chunk, channel): dx = from_dy·dy +
// w·(from_x·(x − mean) + constant), w the weight of the sample, 1 where there are none.

@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> coefficients: array<vec4<f32>>;

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
    let by = coefficients[channel];
    let norm = by.xw;
    for (var n = chunk * p.per; n < (chunk + 1u) * p.per; n++) {
        let from_x = weight_of(channel, n) * by.y;
        let constant = weight_of(channel, n) * by.z;
        var i = start_of(channel) + n * p.walk_stride;
        var left = before(n + 1u) - before(n);
        for (; left >= 4u; left -= 4u) {
            //@ for k in 0..4
            let j$k = i + $k * p.step;
            let c$k = got(x[place(j$k)], j$k) - middle;
            let d$k = arriving(cotangent(j$k), known_at(j$k), norm, c$k);
            put(j$k, by.x * d$k + from_x * c$k + constant);
            //@ end
            i += 4u * p.step;
        }
        for (; left > 0u; left--) {
            let centred = got(x[place(i)], i) - middle;
            let d = arriving(cotangent(i), known_at(i), norm, centred);
            put(i, by.x * d + from_x * centred + constant);
            i += p.step;
        }
    }
}
