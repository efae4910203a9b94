// expm1 and log1p without the digits that exp(x) − 1 and log(1 + x) lose near 0. V is a unit of one or four elements.

fn expm1_v(x: V) -> V {
    // Taylor's series to x⁸: below 1/4 the rest is under 1e-9 of x.
    let series = x * (V(1.0) + x / 2.0 * (V(1.0) + x / 3.0 * (V(1.0) + x / 4.0 * (V(1.0) + x / 5.0 * (V(1.0)
        + x / 6.0 * (V(1.0) + x / 7.0 * (V(1.0) + x / 8.0)))))));
    return select(exp(x) - V(1.0), series, abs(x) < V(0.25));
}

// For 0 ≤ x ≤ 1: log(1 + x) = 2 artanh s, s = x / (2 + x) ≤ 1/3; the rest of the series is under 1e-8 of it.
fn log1p_v(x: V) -> V {
    let s = x / (V(2.0) + x);
    let t = s * s;
    return 2.0 * s * (V(1.0) + t * (V(1.0 / 3.0) + t * (V(1.0 / 5.0) + t * (V(1.0 / 7.0) + t * (V(1.0 / 9.0)
        + t * (V(1.0 / 11.0) + t * (V(1.0 / 13.0) + t * V(1.0 / 15.0))))))));
}
