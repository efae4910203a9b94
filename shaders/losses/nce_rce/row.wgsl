// nce_rce: loss_i = α nce_i + β rce_i with nce_i = log p_label / Σ_k log p_k, the reverse part as in
// core/row_loss/reverse.wgsl. `reverse` is −β A. The slope of nce is (([k = label] − nce) − p_k (1 − K nce)) / Σ log p.
// The second number that is kept is the smaller of free and held, which sum to 1. The fourth is Σ log p, below 0, if that is
// free, and −Σ log p if it is held.

struct Params { rows: u32, vectors: u32, classes: u32, alpha: f32, reverse: f32 }
@group(0) @binding(0) var<uniform> p: Params;

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let log_prob = log_softmax(i, k, shift);
    return vec4<f32>(reverse_terms(exp(log_prob), one_hot(k, mark.x)), sum_v(log_prob));
}

fn normalized(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return -cross_entropy(i, mark.x, shift) / sums.w;
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return p.alpha * normalized(i, mark, shift, sums) + p.reverse * sums.x;
}

fn kept(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    let holds = sums.z < sums.y;
    let smaller = select(sums.y, sums.z, holds);
    return vec4<f32>(lse_of(shift), smaller, normalized(i, mark, shift, sums), select(sums.w, -sums.w, holds));
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    let prob = softmax(i, k, kept.x);
    let at_label = one_hot(k, mark.x);
    let normal = (at_label - V(kept.z)) - prob * (1.0 - f32(p.classes) * kept.z);
    let larger = 1.0 - kept.y;
    let holds = kept.w > 0.0;
    let slope = reverse_slope(prob, at_label, select(kept.y, larger, holds), select(larger, kept.y, holds));
    return p.alpha / -abs(kept.w) * normal + p.reverse * slope;
}
