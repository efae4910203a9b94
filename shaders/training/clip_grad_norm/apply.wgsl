// clip_grad_norm.apply: x' = coefficient·x in place, four elements an invocation and step.
// A workgroup owns 256 vec4 in a row of a tensor; tensors are padded to 16 bytes, and what the padding holds is read by nobody.

struct Params { tensors: array<vec4<u32>, $ROWS> }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> coefficient: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    let row = row_of(group);
    let tensor = p.tensors[row];
    let at = p.tensors[row + 1u].x;
    let start = (group - tensor.x) * 256u;
    let factor = coefficient[0];
    for (var i = start + lane; i < min(start + 256u, tensor.y); i += 64u) {
        x[at + i] = factor * x[at + i];
    }
}
