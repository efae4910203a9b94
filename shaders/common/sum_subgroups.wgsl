// Sum over the $LANES lanes of a workgroup, known to every lane, as lane_subgroups.wgsl says. Call it once, in uniform control flow.
// The twin of sum64.wgsl and of sum256.wgsl.

var<workgroup> sum_cells: array<vec2<f32>, $LANES / 4>;

fn sum$LANES(me: Lane, v: vec2<f32>) -> vec2<f32> {
    var total = subgroupAdd(v);
    if (me.rank == 0u) {
        sum_cells[me.subgroup] = total;
    }
    workgroupBarrier();
    if (me.subgroups > 1u) {
        total = sum_cells[0];
        for (var i = 1u; i < me.subgroups; i++) {
            total += sum_cells[i];
        }
    }
    return total;
}
