// exp: y = eˣ. dx = y·dy, from the output.

fn apply(x: vec4<f32>) -> vec4<f32> {
    return exp(x);
}

fn apply_grad(y: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return y * dy;
}
