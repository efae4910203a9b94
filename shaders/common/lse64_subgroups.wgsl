// log-sum-exp over the 64 lanes of a workgroup, each with (its largest value, Σ exp((value − largest) · scale)); the same
// of all of them comes back to every lane, as lane_subgroups.wgsl says. Call it once, in uniform control flow. The twin of
// lse64.wgsl.

var<workgroup> lse_cells: array<vec2<f32>, 16>;

fn lse64(me: Lane, v: vec2<f32>, scale: f32) -> vec2<f32> {
    var top = subgroupMax(v.x);
    var sum = subgroupAdd(v.y * exp((v.x - top) * scale));
    if (me.rank == 0u) {
        lse_cells[me.subgroup] = vec2<f32>(top, sum);
    }
    workgroupBarrier();
    if (me.subgroups > 1u) {
        for (var i = 0u; i < me.subgroups; i++) {
            top = max(top, lse_cells[i].x);
        }
        sum = 0.0;
        for (var i = 0u; i < me.subgroups; i++) {
            sum += lse_cells[i].y * exp((lse_cells[i].x - top) * scale);
        }
    }
    return vec2<f32>(top, sum);
}
