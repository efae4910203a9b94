// The transforms of Winograd's F(2×2, 3×3) along one axis, over the points 0, 1, −1 and ∞ (Lavin and Gray 2015,
// arXiv 1509.09308, 4.1): two outputs of four inputs. Halves are exact.

// G·g of three weights, G = [1 0 0; ½ ½ ½; ½ −½ ½; 0 0 1].
fn spread(g: array<f32, 3>) -> array<f32, 4> {
    return array<f32, 4>(g[0], 0.5 * (g[0] + g[1] + g[2]), 0.5 * (g[0] - g[1] + g[2]), g[2]);
}

// Bᵀ·d of four inputs, Bᵀ = [1 0 −1 0; 0 1 1 0; 0 −1 1 0; 0 1 0 −1].
fn differences(d: array<f32, 4>) -> array<f32, 4> {
    return array<f32, 4>(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]);
}

// Aᵀ·s of four sums, Aᵀ = [1 1 1 0; 0 1 −1 −1].
fn gathered(s: array<f32, 4>) -> array<f32, 2> {
    return array<f32, 2>(s[0] + s[1] + s[2], s[1] - s[2] - s[3]);
}
