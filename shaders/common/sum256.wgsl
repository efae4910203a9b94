// Sum over the 256 lanes of a workgroup in a tree whose order never changes; lane 0 has the result. Call it once, in uniform
// control flow.

var<workgroup> sum_lanes: array<vec2<f32>, 256>;

fn sum256(me: Lane, v: vec2<f32>) -> vec2<f32> {
    let lane = me.at;
    var sums = v;
    sum_lanes[lane] = sums;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            sums += sum_lanes[lane + half];
            sum_lanes[lane] = sums;
        }
    }
    return sums;
}
