// color_jitter.apply: a workgroup owns 4096 pixels of a row. The sums of its chunks, added in order, give the mean.

@group(0) @binding(4) var<storage, read> sums: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups);
    if (at >= p.batch * p.chunks) { return; }
    let b = at / p.chunks;
    var sum = 0.0;
    for (var i = b * p.chunks; i < (b + 1u) * p.chunks; i++) { sum += sums[i]; }
    let start = at % p.chunks * 4096u;
    write(b, choice_of(b), sum / f32(p.plane), start, min(start + 4096u, p.plane), lane);
}
