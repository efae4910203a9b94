// σ(x) = 1/(1 + e⁻ˣ), from e^−|x|, which never overflows: both signs keep their relative accuracy.

fn logistic(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-abs(x));
    return select(vec4<f32>(1.0), e, x < vec4<f32>(0.0)) / (1.0 + e);
}
