// kl_gaussian: loss_i = ½ Σ_k (μ² + exp(v) − 1 − v), v the log-variance; slopes μ and ½ expm1(v).

struct Params { rows: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> mean: array<V>;
@group(0) @binding(2) var<storage, read> log_variance: array<V>;

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let m = mean[i * p.vectors + k];
    let v = log_variance[i * p.vectors + k];
    return vec4<f32>(0.5 * sum_v(m * m + (expm1_v(v) - v)), 0.0, 0.0, 0.0);
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return sums.x;
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return mean[i * p.vectors + k];
}

fn slope_1(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return 0.5 * expm1_v(log_variance[i * p.vectors + k]);
}
