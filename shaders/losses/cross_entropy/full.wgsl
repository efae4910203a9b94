// cross_entropy in full: loss_i = −Σ_k T_ik log softmax(x_i)_k with T_ik = c_k ((1 − ε) t_ik + ε / K), ε the label
// smoothing, c the class weights, t the targets; slope = softmax_k Σ_j T_ij − T_ik.

struct Params { rows: u32, vectors: u32, classes: u32, smoothing: f32 }
@group(0) @binding(0) var<uniform> p: Params;

fn smoothed(i: u32, k: u32, mark: vec2<u32>) -> V {
    return class_weight(k) * ((1.0 - p.smoothing) * hit(i, k, mark) + V(p.smoothing / f32(p.classes)));
}

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let t = smoothed(i, k, mark);
    return vec4<f32>(-sum_v(t * log_softmax(i, k, shift)), sum_v(t), 0.0, 0.0);
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return sums.x;
}

fn kept(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(lse_of(shift), sums.y, 0.0, 0.0);
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return kept.y * softmax(i, k, kept.x) - smoothed(i, k, mark);
}
