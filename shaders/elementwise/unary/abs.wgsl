// abs: y = |x|. dx = dy where x > 0, −dy where x < 0, 0 at 0 (PyTorch's choice).

fn apply(x: vec4<f32>) -> vec4<f32> {
    return abs(x);
}

fn apply_grad(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return sign(x) * dy;
}
