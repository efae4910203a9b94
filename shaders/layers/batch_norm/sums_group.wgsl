// batch_norm.sums, a workgroup per (chunk, channel): Σ dy and Σ dy·(x − mean) of the chunk, of the dy that
// arrives. Neighbouring invocations read neighbouring cells; sum256.wgsl or its twin adds the 256 results.

@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> parts: array<vec2<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let at = group_index(wid, groups);
    if (at >= p.chunks * p.channels) {
        return;
    }
    let span = span_of(at);
    let middle = mean[statistic_of(span.channel)];
    let norm = norm_of(span.channel);
    var plain = Cell();
    var crossed = Cell();
    var j = lane;
    for (; j + 768u < span.cells; j += 1024u) {
        //@ for k in 0..4
        let i$k = cell(span, j + $k * 256u);
        let x$k = got(x[place(i$k)], i$k);
        let dy$k = cotangent(i$k);
        let known$k = known_at(i$k);
        //@ end
        //@ for k in 0..4
        let d$k = arriving(dy$k, known$k, norm, x$k - middle);
        let e$k = d$k * (x$k - middle);
        //@ end
        //@ for k in 0..4
        pass_on(i$k, d$k);
        //@ end
        plain += (d0 + d1) + (d2 + d3);
        crossed += (e0 + e1) + (e2 + e3);
    }
    for (; j < span.cells; j += 256u) {
        let i = cell(span, j);
        let centred = got(x[place(i)], i) - middle;
        let d = arriving(cotangent(i), known_at(i), norm, centred);
        pass_on(i, d);
        plain += d;
        crossed += d * centred;
    }
    let sums = sum256(me, vec2<f32>(total(plain), total(crossed)));
    if (lane == 0u) {
        parts[at] = sums;
    }
}
