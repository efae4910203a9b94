// nce_rce: loss_i = α nce_i + β rce_i with nce_i = log p_label / Σ_k log p_k, the reverse part as in
// core/row_loss/reverse.wgsl. `reverse` is −β A. The slope of nce is (([k = label] − nce) − p_k (1 − K nce)) / Σ log p.

struct Params { rows: u32, vectors: u32, classes: u32, alpha: f32, reverse: f32 }
@group(0) @binding(0) var<uniform> p: Params;

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let log_prob = log_softmax(i, k, shift);
    return vec4<f32>(reverse_terms(exp(log_prob), one_hot(k, mark.x)), sum_v(log_prob), 0.0);
}

fn normalized(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return -cross_entropy(i, mark.x, shift) / sums.z;
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return p.alpha * normalized(i, mark, shift, sums) + p.reverse * sums.x;
}

fn kept(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(lse_of(shift), sums.y, normalized(i, mark, shift, sums), sums.z);
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    let prob = softmax(i, k, kept.x);
    let at_label = one_hot(k, mark.x);
    let normal = (at_label - V(kept.z)) - prob * (1.0 - f32(p.classes) * kept.z);
    return p.alpha / kept.w * normal + p.reverse * reverse_slope(prob, at_label, kept.y);
}
