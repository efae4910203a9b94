// reduce, a workgroup for a slice of the terms of 256 / $TERMS neighbouring outputs: $TERMS lanes walk the terms of one,
// then fold their results in a tree of fixed order. Where the innermost axis is reduced, neighbouring lanes are
// neighbouring terms ($TERMSTRIDE is 1), else neighbouring outputs ($OUTSTRIDE is 1): loads are coalesced both ways.

var<workgroup> lanes: array<Acc, 256>; // [term][output]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let width = 256u / ${TERMS}u;
    let blocks = (p.outputs + width - 1u) / width;
    let g = group_index(wid, groups);
    let s = g / blocks;
    let column = lane / ${OUTSTRIDE}u % width;
    let t = lane / ${TERMSTRIDE}u % ${TERMS}u;
    let o = (g - s * blocks) * width + column;
    let whole = (o < p.outputs) & (s < p.slices);
    let slot = t * width + column;
    lanes[slot] = walk(o, s * p.slice + t, select(0u, min((s + 1u) * p.slice, p.terms), whole));
    workgroupBarrier();
    for (var half = ${TERMS}u / 2u; half > 0u; half /= 2u) {
        if (t < half) {
            lanes[slot] = merge(lanes[slot], lanes[slot + half * width]);
        }
        workgroupBarrier();
    }
    if (t == 0u && whole) {
        store(s * p.outputs + o, lanes[slot]);
    }
}
