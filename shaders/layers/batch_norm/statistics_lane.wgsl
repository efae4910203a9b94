// batch_norm.statistics, an invocation per (chunk, channel): mean, less the shift, and Σ(x − mean)² of the chunk, kept by
// keep_part.wgsl or keep_whole.wgsl.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups) * 64u + lane;
    if (at >= p.chunks * p.channels) {
        return;
    }
    let chunk = at / p.channels;
    let channel = at % p.channels;
    let shift = shift_of(channel);
    var m = Moments(0.0, 0.0, 0.0);
    for (var n = chunk * p.per; n < (chunk + 1u) * p.per; n++) {
        let weight = weight_of(channel, n);
        var i = start_of(channel) + n * p.walk_stride;
        var left = before(n + 1u) - before(n);
        for (; left >= 4u; left -= 4u) {
            //@ for k in 0..4
            let j$k = i + $k * p.step;
            let x$k = got(x[place(j$k)], j$k) - shift;
            //@ end
            m = merge(m, weigh(moments_of_four(x0, x1, x2, x3), weight));
            i += 4u * p.step;
        }
        for (; left > 0u; left--) {
            m = merge(m, weigh(moments_of_one(got(x[place(i)], i) - shift), weight));
            i += p.step;
        }
    }
    keep(at, m);
}
