// The stable log-sum-exp of row i of each of $SOURCES sources, in two parts: (top_0, log_0, top_1, log_1) with
// top = max x and log = log Σ exp(x − top). A log-probability is (x − top) − log: small parts, no digits lost to a
// large common offset. A lane walks the units k = lane, lane + $LANES, … below `end`. source_<n>(i, k) is the loss's.

fn shift_of(i: u32, me: Lane, end: u32) -> vec4<f32> {
    let lane = me.at;
    var shift = vec4<f32>(0.0);
    //@ for s in 0..SOURCES
    //@ let top = s * 2
    //@ let log = s * 2 + 1
    var top_$s = -1e30;
    for (var k = lane % ${LANES}u; k < end; k += ${LANES}u) {
        top_$s = max(top_$s, max_v(source_$s(i, k)));
    }
    top_$s = max_lanes(me, top_$s);
    var sum_$s = 0.0;
    for (var k = lane % ${LANES}u; k < end; k += ${LANES}u) {
        sum_$s += sum_v(exp(source_$s(i, k) - V(top_$s)));
    }
    shift[$top] = top_$s;
    shift[$log] = log(sum_lanes(me, vec4<f32>(sum_$s, 0.0, 0.0, 0.0)).x);
    //@ end
    return shift;
}
