// Cosine and sine of u turns (2π·u), to an ulp or two on every adapter: WGSL grants its own only 2⁻¹¹. u is reduced to an
// eighth of a turn exactly, so |u| up to 2²⁰ loses nothing.

fn turn(u: f32) -> vec2<f32> {
    let quarters = round(4.0 * u);
    let x = (4.0 * u - quarters) * 1.5707963267948966;
    let z = x * x;
    let c = 1.0 + z * (-0.5 + z * (1.0 / 24.0 + z * (-1.0 / 720.0 + z * (1.0 / 40320.0 - z * (1.0 / 3628800.0)))));
    let s = x * (1.0 + z * (-1.0 / 6.0 + z * (1.0 / 120.0 + z * (-1.0 / 5040.0 + z * (1.0 / 362880.0)))));
    let quarter = i32(quarters) & 3;
    let swapped = select(vec2<f32>(c, s), vec2<f32>(-s, c), (quarter & 1) == 1);
    return select(swapped, -swapped, quarter >= 2);
}
