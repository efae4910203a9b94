// nt_xent: c_ij = dy/(2N τ) (P_ij + P_ji − 2 [j = positive(i)]), P_ij = exp(s_ij − lse_i) for j ≠ i, 0 for j = i.

@group(0) @binding(2) var<storage, read> lse: array<f32>;

fn about_row(i: u32) -> vec2<f32> {
    return vec2<f32>(lse[i], p.scale * factor(i));
}

fn about_column(j: u32) -> f32 {
    return lse[j];
}

fn pull(i: u32, j: u32, s: f32, row: vec2<f32>, column: f32) -> f32 {
    let both = exp(s - row.x) + exp(s - column) - select(0.0, 2.0, j == positive(i));
    return select(0.0, row.y * both, counts(i, j));
}

fn begin(i: u32, k: u32, row: vec2<f32>) -> V {
    return V(0.0);
}
