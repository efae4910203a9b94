// color_jitter.sums: a workgroup owns 4096 pixels of a row and adds up the gray that contrast sees, since one workgroup for an
// image of 224 × 224 would leave most of a GPU idle.

@group(0) @binding(4) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups);
    if (at >= p.batch * p.chunks) { return; }
    let b = at / p.chunks;
    let start = at % p.chunks * 4096u;
    let sum = sum_lanes(lane, gray_sum(b, choice_of(b), start, min(start + 4096u, p.plane), lane));
    if (lane == 0u) { sums[at] = sum; }
}
