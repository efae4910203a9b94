// reduce, an invocation for each slice of the terms of an output: no barriers, for software adapters.

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 8u + lane;
    if (i >= p.outputs * p.slices) {
        return;
    }
    let s = i / p.outputs;
    store(i, walk(i - s * p.outputs, s * p.slice, min((s + 1u) * p.slice, p.terms)));
}
