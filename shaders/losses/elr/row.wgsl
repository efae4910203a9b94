// elr: loss_i = ce_i + λ log(1 − ⟨p, t⟩), p the softmax clamped to [1e-4, 1 − 1e-4] as the authors' code has it, t the
// row's target in the table. slope = p_k − [k = label] − λ / (1 − ⟨p, t⟩) p_k (g_k − Σ_j g_j p_j), g_k = t_k where p_k is
// not clamped, else 0.

struct Params { rows: u32, vectors: u32, classes: u32, samples: u32, lambda: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> indices: array<u32>;
@group(0) @binding(4) var<storage, read> table: array<V>;

fn mark(i: u32) -> vec2<u32> {
    return vec2<u32>(min(labels[i], p.classes - 1u), min(indices[i], p.samples - 1u) * p.vectors);
}

// The targets of a unit, 0 where the probability is clamped.
fn free(prob: V, t: V) -> V {
    return select(V(0.0), t, clamped(prob) == prob);
}

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let prob = exp(log_softmax(i, k, shift));
    let t = table[mark.y + k];
    return vec4<f32>(sum_v(t * clamped(prob)), sum_v(free(prob, t) * prob), 0.0, 0.0);
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return cross_entropy(i, mark.x, shift) + p.lambda * log(1.0 - sums.x);
}

fn kept(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(lse_of(shift), p.lambda / (1.0 - sums.x), sums.y, 0.0);
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    let prob = softmax(i, k, kept.x);
    return prob - one_hot(k, mark.x) - kept.y * prob * (free(prob, table[mark.y + k]) - V(kept.z));
}
