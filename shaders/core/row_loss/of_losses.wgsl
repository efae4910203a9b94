// The factor of row i where the cotangents belong to the rows' own losses: dy_i. The twin of of_loss.wgsl.

@group(0) @binding($DY) var<storage, read> dy: array<f32>;

fn factor(i: u32) -> f32 {
    return dy[i];
}
