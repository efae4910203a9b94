// The 64 lanes of a workgroup own a row: sums and the maximum over them, known to every lane, as common/lane_subgroups.wgsl
// says. They may be called one after the other: a barrier lies between the last read of a call and the first write of the
// next. Call them in uniform control flow. The twin of lanes_64.wgsl.

var<workgroup> lane_sums: array<vec4<f32>, 16>;
var<workgroup> lane_tops: array<f32, 16>;

fn sum_lanes(me: Lane, v: vec4<f32>) -> vec4<f32> {
    var total = subgroupAdd(v);
    workgroupBarrier();
    if (me.rank == 0u) {
        lane_sums[me.subgroup] = total;
    }
    workgroupBarrier();
    if (me.subgroups > 1u) {
        total = lane_sums[0];
        for (var i = 1u; i < me.subgroups; i++) {
            total += lane_sums[i];
        }
    }
    return total;
}

fn max_lanes(me: Lane, v: f32) -> f32 {
    var top = subgroupMax(v);
    workgroupBarrier();
    if (me.rank == 0u) {
        lane_tops[me.subgroup] = top;
    }
    workgroupBarrier();
    if (me.subgroups > 1u) {
        for (var i = 0u; i < me.subgroups; i++) {
            top = max(top, lane_tops[i]);
        }
    }
    return top;
}
