// sigmoid: y = σ(x) = 1/(1 + e⁻ˣ). dx = y·(1 − y)·dy, from the output.

fn apply(x: vec4<f32>) -> vec4<f32> {
    return logistic(x);
}

fn apply_grad(y: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return dy * y * (1.0 - y);
}
