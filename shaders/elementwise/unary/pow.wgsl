// pow with an exponent a that is no whole number: y = x^a, x ≥ 0. dx = a·x^(a−1)·dy. A NaN stays a NaN in both: a driver
// may lose it in a logarithm. Of 0 a negative power is infinite, as in PyTorch; WGSL leaves it open.

fn power(x: vec4<f32>, exponent: f32) -> vec4<f32> {
    let of_zero = select(abs(x), 1.0 / abs(x), exponent < 0.0);
    return select(select(pow(x, vec4<f32>(exponent)), of_zero, x == vec4<f32>(0.0)), x, is_nan(x));
}

fn apply(x: vec4<f32>) -> vec4<f32> {
    return power(x, p.a);
}

fn apply_grad(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return dy * p.a * power(x, p.a - 1.0);
}
