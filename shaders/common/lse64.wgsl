// log-sum-exp over the 64 lanes of a workgroup, each with (its largest value, Σ exp((value − largest) · scale)); the same
// of all of them comes back to every lane, in a fixed order. Call it once, in uniform control flow.

var<workgroup> lse_lanes: array<vec2<f32>, 72>;

fn lse_merge(a: vec2<f32>, b: vec2<f32>, scale: f32) -> vec2<f32> {
    let top = max(a.x, b.x);
    return vec2<f32>(top, a.y * exp((a.x - top) * scale) + b.y * exp((b.x - top) * scale));
}

fn lse64(me: Lane, v: vec2<f32>, scale: f32) -> vec2<f32> {
    let lane = me.at;
    lse_lanes[lane] = v;
    workgroupBarrier();
    if (lane < 8u) {
        var part = lse_lanes[lane * 8u];
        for (var i = 1u; i < 8u; i++) {
            part = lse_merge(part, lse_lanes[lane * 8u + i], scale);
        }
        lse_lanes[64u + lane] = part;
    }
    workgroupBarrier();
    var total = lse_lanes[64];
    for (var i = 65u; i < 72u; i++) {
        total = lse_merge(total, lse_lanes[i], scale);
    }
    return total;
}
