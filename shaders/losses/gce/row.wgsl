// gce: loss_i = (1 − p_label^q) / q, p = softmax(x_i); slope = p_label^q (p_k − [k = label]).
// 1 − p^q is −expm1(q log p): exact where p is near 1 or q near 0.

struct Params { rows: u32, vectors: u32, classes: u32, q: f32 }
@group(0) @binding(0) var<uniform> p: Params;

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return -element(expm1_v(V(-p.q * cross_entropy(i, mark.x, shift))), 0u) / p.q;
}

fn kept(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(lse_of(shift), exp(-p.q * cross_entropy(i, mark.x, shift)), 0.0, 0.0);
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return kept.y * (softmax(i, k, kept.x) - one_hot(k, mark.x));
}
