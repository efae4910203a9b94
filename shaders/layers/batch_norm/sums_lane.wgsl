// batch_norm.sums, an invocation per (chunk, channel): Σ dy and Σ dy·(x − mean) of the chunk, of the dy that
// arrives.

@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> parts: array<vec2<f32>>;

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
    let norm = norm_of(channel);
    var plain = Cell();
    var crossed = Cell();
    for (var n = chunk * p.per; n < (chunk + 1u) * p.per; n++) {
        var i = start_of(channel) + n * p.walk_stride;
        var left = before(n + 1u) - before(n);
        for (; left >= 4u; left -= 4u) {
            //@ for k in 0..4
            let j$k = i + $k * p.step;
            let x$k = got(x[place(j$k)], j$k);
            let dy$k = cotangent(j$k);
            let known$k = known_at(j$k);
            //@ end
            //@ for k in 0..4
            let d$k = arriving(dy$k, known$k, norm, x$k - middle);
            let e$k = d$k * (x$k - middle);
            //@ end
            //@ for k in 0..4
            pass_on(j$k, d$k);
            //@ end
            plain += (d0 + d1) + (d2 + d3);
            crossed += (e0 + e1) + (e2 + e3);
            i += 4u * p.step;
        }
        for (; left > 0u; left--) {
            let centred = got(x[place(i)], i) - middle;
            let d = arriving(cotangent(i), known_at(i), norm, centred);
            pass_on(i, d);
            plain += d;
            crossed += d * centred;
            i += p.step;
        }
    }
    parts[at] = vec2<f32>(total(plain), total(crossed));
}
