// Sum over the 64 lanes of a workgroup, in a fixed order, known to every lane. Call it once, in uniform control flow.

var<workgroup> sum_lanes: array<vec2<f32>, 72>;

fn sum64(me: Lane, v: vec2<f32>) -> vec2<f32> {
    let lane = me.at;
    sum_lanes[lane] = v;
    workgroupBarrier();
    if (lane < 8u) {
        var part = vec2<f32>(0.0);
        for (var i = 0u; i < 8u; i++) {
            part += sum_lanes[lane * 8u + i];
        }
        sum_lanes[64u + lane] = part;
    }
    workgroupBarrier();
    var total = vec2<f32>(0.0);
    for (var i = 64u; i < 72u; i++) {
        total += sum_lanes[i];
    }
    return total;
}
