// sce: loss_i = α ce_i + β rce_i, the reverse part as in core/row_loss/reverse.wgsl. `reverse` is −β A.

struct Params { rows: u32, vectors: u32, classes: u32, alpha: f32, reverse: f32 }
@group(0) @binding(0) var<uniform> p: Params;

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(reverse_terms(exp(log_softmax(i, k, shift)), one_hot(k, mark.x)), 0.0);
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return p.alpha * cross_entropy(i, mark.x, shift) + p.reverse * sums.x;
}

fn kept(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(lse_of(shift), sums.y, sums.z, 0.0);
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    let prob = softmax(i, k, kept.x);
    let at_label = one_hot(k, mark.x);
    return p.alpha * (prob - at_label) + p.reverse * reverse_slope(prob, at_label, kept.y, kept.z);
}
