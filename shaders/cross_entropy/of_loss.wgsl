// The factor of row i when the cotangent belongs to the weighted mean: dy w_i / max(Σ w, tiny).
// Every workgroup sums the weights itself: they are few, and a launch for it would cost more.

@group(0) @binding(6) var<storage, read> weights: array<f32>;

fn weight_sum(lane: u32, rows: u32) -> f32 {
    var part = 0.0;
    for (var i = lane; i < rows; i += 64u) {
        part += weights[i];
    }
    return sum64(lane, vec2<f32>(part, 0.0)).x;
}

fn factor(i: u32, total: f32) -> f32 {
    return dy[0] * weights[i] / max(total, 1e-30);
}
