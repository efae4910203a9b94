// The transforms of Winograd's F(4×4, 3×3) along one axis, over the points 0, ±1, ±2 and ∞ (Lavin and Gray 2015,
// arXiv 1509.09308, 4.3): four outputs of six inputs. What rows share is computed once, and 5 = 4 + 1 is split, so that an
// input is rounded twice on its way, a sum three times and a weight four times; other factors are powers of two.

// G·g of three weights, G = [¼ 0 0; −⅙ −⅙ −⅙; −⅙ ⅙ −⅙; 1/24 1/12 ⅙; 1/24 −1/12 ⅙; 0 0 1].
fn spread(g: array<f32, 3>) -> array<f32, 6> {
    let ends = g[0] + g[2];
    let far = g[0] + 4.0 * g[2];
    let twice = 2.0 * g[1];
    return array<f32, 6>(
        0.25 * g[0],
        (-1.0 / 6.0) * (ends + g[1]),
        (-1.0 / 6.0) * (ends - g[1]),
        (1.0 / 24.0) * (far + twice),
        (1.0 / 24.0) * (far - twice),
        g[2],
    );
}

// Bᵀ·d of six inputs,
// Bᵀ = [4 0 −5 0 1 0; 0 −4 −4 1 1 0; 0 4 −4 −1 1 0; 0 −2 −1 2 1 0; 0 2 −1 −2 1 0; 0 4 0 −5 0 1].
fn differences(d: array<f32, 6>) -> array<f32, 6> {
    let even = d[4] - d[2];
    let odd = d[3] - d[1];
    let even_far = d[4] - 4.0 * d[2];
    let odd_far = d[3] - 4.0 * d[1];
    return array<f32, 6>(
        even + 4.0 * (d[0] - d[2]),
        even_far + odd_far,
        even_far - odd_far,
        even + 2.0 * odd,
        even - 2.0 * odd,
        (d[5] - d[3]) - 4.0 * odd,
    );
}

// Aᵀ·s of six sums, Aᵀ = [1 1 1 1 1 0; 0 1 −1 2 −2 0; 0 1 1 4 4 0; 0 1 −1 8 −8 1].
fn gathered(s: array<f32, 6>) -> array<f32, 4> {
    let near = s[1] + s[2];
    let near_apart = s[1] - s[2];
    let far = s[3] + s[4];
    let far_apart = s[3] - s[4];
    return array<f32, 4>(
        s[0] + near + far,
        near_apart + 2.0 * far_apart,
        near + 4.0 * far,
        near_apart + 8.0 * far_apart + s[5],
    );
}
