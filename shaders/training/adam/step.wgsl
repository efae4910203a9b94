// adam: g = grad + decay·w; m' = β1 m + (1 − β1) g; v' = β2 v + (1 − β2) g²;
// w' = (1 − lr·shrink) w − lr · m'/(1 − β1^t) / (√(v'/(1 − β2^t)) + eps), all in place; t counts from 1.
// Of decay (Adam) and shrink (AdamW) one is 0. Each tensor has a decay and a slot of the learning rate of its own.
// A workgroup owns 256 vec4 in a row of a tensor; tensors are padded to 16 bytes, and what the padding holds is read by nobody.

struct Params {
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    log1: f32,
    log2: f32,
    eps: f32,
    decoupled: u32,
    tensors: array<vec4<u32>, $ROWS>,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> count: array<f32>;
@group(0) @binding(6) var<storage, read> scalars: array<f32>;

// 1 − exp(x) for x ≤ 0. Near 0 the difference would lose all digits (1 − 0.999 keeps four), so there it is a series.
fn one_minus_exp(x: f32) -> f32 {
    let near = -x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0 * (1.0 + x / 6.0)))));
    return select(1.0 - exp(x), near, x > -0.25);
}

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
    let decoupled = p.decoupled != 0u;
    let decay = select(bitcast<f32>(tensor.w), 0.0, decoupled);
    let shrink = select(0.0, bitcast<f32>(tensor.w), decoupled);
    let t = count[0];
    let rate = lr / one_minus_exp(t * p.log1);
    let keep = 1.0 - lr * shrink;
    let correction = inverseSqrt(one_minus_exp(t * p.log2));
    let start = (group - tensor.x) * 256u;
    for (var i = start + lane; i < min(start + 256u, tensor.y); i += 64u) {
        let old = w[at.x + i];
        let g = grad[at.y + i] + decay * old;
        let first = p.beta1 * m[at.z + i] + p.rest1 * g;
        let second = p.beta2 * v[at.w + i] + p.rest2 * g * g;
        m[at.z + i] = first;
        v[at.w + i] = second;
        w[at.x + i] = keep * old - rate * first / (sqrt(second) * correction + p.eps);
    }
}
