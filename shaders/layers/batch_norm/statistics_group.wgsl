// batch_norm.statistics, a workgroup per (chunk, channel): mean, less the shift, and Σ(x − mean)² of the chunk, kept by keep_part.wgsl or
// keep_whole.wgsl. Neighbouring
// invocations read neighbouring cells; the 256 results are merged in a tree whose order never changes.

var<workgroup> lanes: array<Moments, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups);
    if (at >= p.chunks * p.channels) {
        return;
    }
    let span = span_of(at);
    let shift = shift_of(span.channel);
    var m = Moments(0.0, 0.0, 0.0);
    var j = lane;
    for (; !WEIGHTED && j + 768u < span.cells; j += 1024u) { // four cells may be of four samples
        //@ for k in 0..4
        let i$k = cell(span, j + $k * 256u);
        let x$k = got(x[place(i$k)], i$k) - shift;
        //@ end
        m = merge(m, moments_of_four(x0, x1, x2, x3));
    }
    for (; j < span.cells; j += 256u) {
        let i = cell(span, j);
        m = merge(m, weigh(moments_of_one(got(x[place(i)], i) - shift), weight_of(span.channel, walk(span, j))));
    }
    lanes[lane] = m;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            m = merge(m, lanes[lane + half]);
            lanes[lane] = m;
        }
    }
    if (lane == 0u) {
        keep(at, m);
    }
}
