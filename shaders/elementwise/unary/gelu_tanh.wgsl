// gelu, PyTorch's approximate="tanh": y = x·(1 + tanh u)/2 with u = √(2/π)·(x + 0.044715·x³), written x·σ(2u), which
// does not cancel where x is negative. dx = dy·(σ + x·σ·(1 − σ)·2u′), u′ = √(2/π)·(1 + 3·0.044715·x²).

fn twice_u(x: vec4<f32>) -> vec4<f32> {
    return 1.5957691216 * x * (1.0 + 0.044715 * x * x);
}

fn apply(x: vec4<f32>) -> vec4<f32> {
    return x * logistic(twice_u(x));
}

fn apply_grad(v: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    // From |x| = 15 on the slope is 0 or 1 to the last bit; past it x² might overflow into ∞·0. Not clamp(), which may lose
    // a NaN.
    let below = select(v, vec4<f32>(15.0), v > vec4<f32>(15.0));
    let x = select(below, vec4<f32>(-15.0), v < vec4<f32>(-15.0));
    let s = logistic(twice_u(x));
    let slope = 1.5957691216 * (1.0 + 0.134145 * x * x);
    return dy * (s + x * slope * s * logistic(-twice_u(x)));
}
