// sgd: g = trust·(grad + decay·w); v' = momentum·v + g; w' = w − lr·(v', or g + momentum·v' for Nesterov), both in place.
// trust() is 1, or of the piece that lars puts before this one.
// A workgroup owns 256 vec4 in a row; buffers are padded to 16 bytes, and what the padding holds is read by nobody.

struct Params { vectors: u32, lr: u32, momentum: f32, decay: f32, nesterov: u32 }
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
    let lr = scalars[p.lr];
    let start = group_index(wid, groups) * 256u;
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        let old = w[i];
        let g = trust() * (grad[i] + p.decay * old);
        let v = p.momentum * velocity[i] + g;
        let step = select(v, g + p.momentum * v, p.nesterov != 0u);
        velocity[i] = v;
        w[i] = old - lr * step;
    }
}
