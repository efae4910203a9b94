// barlow_twins: loss_i = (c_ii − 1)² + λ Σ_{k ≠ i} c_ik², c = C / N; slope = 2 (c_ik − [k = i]) / N, times λ off the
// diagonal.

struct Params { rows: u32, vectors: u32, inverse_count: f32, lambda: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> products: array<V>;

fn away(i: u32, k: u32, mark: vec2<u32>) -> V {
    return p.inverse_count * products[i * p.vectors + k] - one_hot(k, mark.x);
}

fn strength(k: u32, mark: vec2<u32>) -> V {
    return V(p.lambda) + (1.0 - p.lambda) * one_hot(k, mark.x);
}

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let d = away(i, k, mark);
    return vec4<f32>(sum_v(strength(k, mark) * d * d), 0.0, 0.0, 0.0);
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return sums.x;
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return 2.0 * p.inverse_count * strength(k, mark) * away(i, k, mark);
}
