// div.grad of the divisor: y = a/b, db = −dy·a/b² = −dy·y/b. Here a is the output y.

fn apply_grad(y: vec4<f32>, b: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return -dy * y / b;
}
