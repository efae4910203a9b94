// batch_norm.statistics, a workgroup per (chunk, channel): mean and Σ(x − mean)² of the chunk. Neighbouring
// invocations read neighbouring cells; the 256 results are merged in a tree whose order never changes.

@group(0) @binding(1) var<storage, read> x: array<Cell>;
@group(0) @binding(2) var<storage, read_write> parts: array<vec2<f32>>;

var<workgroup> lanes: array<Moments, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups);
    if (at >= p.chunks * p.channels) {
        return;
    }
    let span = span_of(at);
    var m = Moments(0.0, 0.0, 0.0);
    var j = lane;
    for (; j + 768u < span.cells; j += 1024u) {
        let a = x[cell(span, j)];
        let b = x[cell(span, j + 256u)];
        let c = x[cell(span, j + 512u)];
        let d = x[cell(span, j + 768u)];
        m = merge(m, moments_of_four(a, b, c, d));
    }
    for (; j < span.cells; j += 256u) {
        m = merge(m, moments_of_one(x[cell(span, j)]));
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
        parts[at] = vec2<f32>(m.mean, m.m2);
    }
}
