// sqrt: y = √x, x ≥ 0. dx = dy/(2y), from the output: infinite at 0, as in PyTorch.

fn apply(x: vec4<f32>) -> vec4<f32> {
    return sqrt(x);
}

fn apply_grad(y: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return 0.5 * dy / y;
}
