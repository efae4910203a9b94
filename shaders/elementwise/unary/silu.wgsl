// silu: y = x·σ(x). dx = σ·(1 + x·(1 − σ))·dy, with 1 − σ(x) = σ(−x).

fn apply(x: vec4<f32>) -> vec4<f32> {
    return x * logistic(x);
}

fn apply_grad(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return dy * logistic(x) * (1.0 + x * logistic(-x));
}
