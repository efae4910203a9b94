// sgd: g = trust·(grad + decay·w); v' = momentum·v + g; w' = w − lr·(v', or g + momentum·v' for Nesterov), both in place.
// trust() is 1, or of the piece that lars puts before this one. Each tensor has a decay and a slot of the learning rate of
// its own. A workgroup owns 256 vec4 in a row of a tensor; tensors are padded to 16 bytes, and what the padding holds is read by nobody.

struct Params {
    momentum: f32,
    nesterov: u32,
    padding: vec2<u32>,
    tensors: array<vec4<u32>, $ROWS>,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> velocity: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> scalars: array<f32>;

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
    let lr = scalars[tensor.z];
    let decay = bitcast<f32>(tensor.w);
    let start = (group - tensor.x) * 256u;
    for (var i = start + lane; i < min(start + 256u, tensor.y); i += 64u) {
        let old = w[at.x + i];
        let g = trust(at.w) * (grad[at.y + i] + decay * old);
        let v = p.momentum * velocity[at.z + i] + g;
        let step = select(v, g + p.momentum * v, p.nesterov != 0u);
        velocity[at.z + i] = v;
        w[at.x + i] = old - lr * step;
    }
}
