// random: a tensor of random numbers, four an invocation and step; four() comes from the piece before this one.
// A workgroup owns 256 vec4 in a row; buffers are padded to 16 bytes, so the last vec4 is whole.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let start = group_index(wid, groups) * 256u;
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        y[i] = four(i);
    }
}
