// batch_norm.statistics, a workgroup per (chunk, channel): mean, less the shift, and Σ(x − mean)² of the chunk, kept by keep_part.wgsl or
// keep_whole.wgsl. Neighbouring invocations read neighbouring cells; moments_tree.wgsl or moments_subgroups.wgsl merges the
// 256 results.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
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
    m = merged(me, m);
    if (lane == 0u) {
        keep(at, m);
    }
}
