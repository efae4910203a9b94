// vicreg, the part of one view: loss_i = covariance Σ_{k ≠ i} c_ik² + variance max(0, 1 − √(c_ii + 1e-4)), c = C / (N − 1)
// the covariance of centred features, whose diagonal is their variance. slope = 2 covariance c_ik / (N − 1) off the
// diagonal, −variance / (2 √(c_ii + 1e-4) (N − 1)) on it where the hinge is open.

struct Params { rows: u32, vectors: u32, inverse_count: f32, variance: f32, covariance: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> products: array<V>;

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let c = p.inverse_count * products[i * p.vectors + k];
    let own = one_hot(k, mark.x);
    return vec4<f32>(sum_v((V(1.0) - own) * c * c), sum_v(own * c), 0.0, 0.0);
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    let open = 1.0 - sqrt(sums.y + 1e-4);
    return p.covariance * sums.x + p.variance * select(open, 0.0, open < 0.0); // not max(), which may lose a NaN
}

fn kept(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    let deviation = sqrt(sums.y + 1e-4);
    return vec4<f32>(select(-0.5 * p.variance / deviation, 0.0, deviation >= 1.0), 0.0, 0.0, 0.0);
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    let c = p.inverse_count * products[i * p.vectors + k];
    let own = one_hot(k, mark.x);
    return p.inverse_count * (2.0 * p.covariance * (V(1.0) - own) * c + kept.x * own);
}
