// Normal by Box–Muller, as base::rng::Rng::normal draws them: two words an element, √(−2 ln(1 − u)) · cos 2πv.

// −ln(1 − u): near 0 a logarithm would lose its digits, so there it is the series of 2·artanh(u / (2 − u)).
fn minus_log(u: f32) -> f32 {
    let z = u / (2.0 - u);
    let q = z * z;
    let series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0
        + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0)))))));
    return select(-log(1.0 - u), 2.0 * z * series, u <= 0.5);
}

fn normal(a: u32, b: u32) -> f32 {
    return sqrt(2.0 * minus_log(unit(a))) * turn(unit(b)).x;
}

fn four(i: u32) -> vec4<f32> {
    let v = words(2u * i);
    let w = words(2u * i + 1u);
    return p.a + p.b * vec4<f32>(normal(v.x, v.y), normal(v.z, v.w), normal(w.x, w.y), normal(w.z, w.w));
}
