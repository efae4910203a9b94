// ema: target = keep·target + (1 − keep)·factor·x in place, four elements an invocation and step, unless the guard is
// raised. keep() and held() come from the pieces before this one.
// A workgroup owns 256 vec4 in a row; buffers are padded to 16 bytes, so the last vec4 is whole.

@group(0) @binding(1) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    if (held()) {
        return;
    }
    let start = group_index(wid, groups) * 256u;
    let take = (1.0 - keep()) * p.factor;
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        state[i] = keep() * state[i] + take * x[i];
    }
}
