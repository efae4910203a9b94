// The moments of the 256 invocations of a workgroup, known to all, merged as common/lane_subgroups.wgsl says. The twin of
// moments_tree.wgsl.

var<workgroup> cells: array<Moments, 64>;

fn merged(me: Lane, own: Moments) -> Moments {
    // Of a subgroup the mean of all, then the squares around it: no cancellation, as in Chan's formula.
    let count = subgroupAdd(own.count);
    let mean = subgroupAdd(own.count * own.mean) / least(count);
    let away = own.mean - mean;
    var m = Moments(count, mean, subgroupAdd(own.m2 + own.count * away * away));
    if (me.rank == 0u) {
        cells[me.subgroup] = m;
    }
    workgroupBarrier();
    if (me.subgroups > 1u) {
        m = cells[0];
        for (var i = 1u; i < me.subgroups; i++) {
            m = merge(m, cells[i]);
        }
    }
    return m;
}
