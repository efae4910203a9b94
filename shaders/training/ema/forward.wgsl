// ema: target = keep·target + (1 − keep)·factor·x in place, four elements an invocation and step, unless the guard is
// raised. keep_of() and held() come from the pieces before this one. Each tensor has a keep and a factor of its own.
// A workgroup owns 256 vec4 in a row of a tensor; tensors are padded to 16 bytes, so the last vec4 is whole.

@group(0) @binding(1) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    if (held()) {
        return;
    }
    let group = group_index(wid, groups);
    let row = row_of(group);
    let tensor = p.tensors[row];
    let at = p.tensors[row + 1u];
    let keep = keep_of(tensor.z);
    let take = (1.0 - keep) * bitcast<f32>(tensor.w);
    let start = (group - tensor.x) * 256u;
    for (var i = start + lane; i < min(start + 256u, tensor.y); i += 64u) {
        state[at.x + i] = keep * state[at.x + i] + take * x[at.y + i];
    }
}
