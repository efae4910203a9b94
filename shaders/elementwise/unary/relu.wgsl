// relu: y = max(x, 0); a NaN stays a NaN, so that a bad step is seen. dx = dy where y > 0, 0 at 0 (PyTorch's choice).

fn apply(x: vec4<f32>) -> vec4<f32> {
    return select(x, vec4<f32>(0.0), x <= vec4<f32>(0.0));
}

fn apply_grad(y: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return select(dy, vec4<f32>(0.0), y <= vec4<f32>(0.0));
}
