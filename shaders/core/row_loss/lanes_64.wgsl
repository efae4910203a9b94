// The 64 lanes of a workgroup own a row: sums and the maximum over them in a fixed order, known to every lane.
// They may be called one after the other: between the last read of a call and the first write of the next to the same
// words lies a barrier. Call them in uniform control flow.

var<workgroup> lane_sums: array<vec4<f32>, 72>;
var<workgroup> lane_tops: array<f32, 72>;

fn sum_lanes(me: Lane, v: vec4<f32>) -> vec4<f32> {
    let lane = me.at;
    lane_sums[lane] = v;
    workgroupBarrier();
    if (lane < 8u) {
        var part = vec4<f32>(0.0);
        for (var i = 0u; i < 8u; i++) {
            part += lane_sums[lane * 8u + i];
        }
        lane_sums[64u + lane] = part;
    }
    workgroupBarrier();
    var total = vec4<f32>(0.0);
    for (var i = 64u; i < 72u; i++) {
        total += lane_sums[i];
    }
    return total;
}

fn max_lanes(me: Lane, v: f32) -> f32 {
    let lane = me.at;
    lane_tops[lane] = v;
    workgroupBarrier();
    if (lane < 8u) {
        var part = lane_tops[lane * 8u];
        for (var i = 1u; i < 8u; i++) {
            part = max(part, lane_tops[lane * 8u + i]);
        }
        lane_tops[64u + lane] = part;
    }
    workgroupBarrier();
    var top = lane_tops[64];
    for (var i = 65u; i < 72u; i++) {
        top = max(top, lane_tops[i]);
    }
    return top;
}
