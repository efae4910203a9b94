// log: y = ln x, x > 0. dx = dy/x.

fn apply(x: vec4<f32>) -> vec4<f32> {
    return log(x);
}

fn apply_grad(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return dy / x;
}
