// mse: loss_i = Σ_k (x_ik − y_ik)² / K; slopes ±2 (x_ik − y_ik) / K.

struct Params { rows: u32, vectors: u32, inverse_columns: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read> y: array<V>;

fn terms(i: u32, k: u32, mark: vec2<u32>, shift: vec4<f32>) -> vec4<f32> {
    let d = x[i * p.vectors + k] - y[i * p.vectors + k];
    return vec4<f32>(dot_v(d, d), 0.0, 0.0, 0.0);
}

fn row_loss(i: u32, mark: vec2<u32>, shift: vec4<f32>, sums: vec4<f32>) -> f32 {
    return p.inverse_columns * sums.x;
}

fn slope_0(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return 2.0 * p.inverse_columns * (x[i * p.vectors + k] - y[i * p.vectors + k]);
}

fn slope_1(i: u32, k: u32, mark: vec2<u32>, kept: vec4<f32>) -> V {
    return -slope_0(i, k, mark, kept);
}
