// The factor of row i where the cotangent belongs to the weighted mean: dy times the row's share of it.

//@ let shares = DY + 1
@group(0) @binding($DY) var<storage, read> dy: array<f32>;
@group(0) @binding($shares) var<storage, read> shares: array<f32>;

fn factor(i: u32) -> f32 {
    return dy[0] * shares[i];
}
