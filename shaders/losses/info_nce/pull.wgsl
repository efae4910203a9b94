// info_nce: c_ij = f_i/τ exp(s_ij − lse_i); a row begins with its positive's pull, f_i/τ (exp(−loss_i) − 1) key_i.

@group(0) @binding(3) var<storage, read> key: array<V>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> losses: array<f32>;

fn about_row(i: u32) -> vec2<f32> {
    return vec2<f32>(lse[i], p.scale * factor(i));
}

fn about_column(j: u32) -> f32 {
    return 0.0;
}

fn pull(i: u32, j: u32, s: f32, row: vec2<f32>, column: f32) -> f32 {
    return row.y * exp(s - row.x);
}

fn begin(i: u32, k: u32, row: vec2<f32>) -> V {
    return row.y * (exp(-losses[i]) - 1.0) * key[i * p.vectors + k];
}
