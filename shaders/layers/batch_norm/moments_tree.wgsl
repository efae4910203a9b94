// The moments of the 256 invocations of a workgroup, merged in a tree whose order never changes; the first has the result.

var<workgroup> lanes: array<Moments, 256>;

fn merged(me: Lane, own: Moments) -> Moments {
    let lane = me.at;
    var m = own;
    lanes[lane] = m;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            m = merge(m, lanes[lane + half]);
            lanes[lane] = m;
        }
    }
    return m;
}
