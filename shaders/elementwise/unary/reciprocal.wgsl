// reciprocal: y = 1/x. dx = −y²·dy, from the output.

fn apply(x: vec4<f32>) -> vec4<f32> {
    return 1.0 / x;
}

fn apply_grad(y: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return -dy * y * y;
}
