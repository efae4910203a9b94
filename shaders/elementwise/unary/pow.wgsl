// pow with an exponent a that is no whole number: y = x^a, x ≥ 0. dx = a·x^(a−1)·dy.

fn apply(x: vec4<f32>) -> vec4<f32> {
    return select(x, pow(x, vec4<f32>(p.a)), x == x); // a driver may lose NaN in a logarithm
}

fn apply_grad(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return dy * p.a * pow(x, vec4<f32>(p.a - 1.0));
}
