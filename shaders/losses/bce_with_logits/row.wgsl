// bce_with_logits: loss_i = Σ_k ((1 − t) softplus(x) + c t softplus(−x)) / K, c the weight of positives;
// slope = ((1 − t) σ(x) − c t σ(−x)) / K. softplus(x) = max(x, 0) + log1p(exp(−|x|)): nothing overflows or cancels.

struct Params { rows: u32, vectors: u32, inverse_columns: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<V>;
@group(0) @binding(2) var<storage, read> targets: array<V>;

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let x = logits[i * p.vectors + k];
    let t = targets[i * p.vectors + k];
    let tail = log1p_v(exp(-abs(x)));
    let negative = (V(1.0) - t) * (max(x, V(0.0)) + tail);
    return vec4<f32>(sum_v(negative + positive_weight(k) * t * (max(-x, V(0.0)) + tail)), 0.0, 0.0, 0.0);
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return p.inverse_columns * sums.x;
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    let x = logits[i * p.vectors + k];
    let t = targets[i * p.vectors + k];
    let e = exp(-abs(x));
    let sigmoid = select(e, V(1.0), x >= V(0.0)) / (V(1.0) + e);
    let opposite = select(V(1.0), e, x >= V(0.0)) / (V(1.0) + e);
    return p.inverse_columns * ((V(1.0) - t) * sigmoid - positive_weight(k) * t * opposite);
}
