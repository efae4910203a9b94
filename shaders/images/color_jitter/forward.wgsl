// color_jitter where an image is one chunk: a workgroup owns a row, one sample in one view; its lanes walk the pixels in strides of
// 64, so neighbours read neighbours, for the mean and for the result.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let b = group_index(wid, groups);
    if (b >= p.batch) { return; }
    let c = choice_of(b);
    let sum = sum_lanes(lane, gray_sum(b, c, 0u, p.plane, lane));
    write(b, c, sum / f32(p.plane), 0u, p.plane, lane);
}
