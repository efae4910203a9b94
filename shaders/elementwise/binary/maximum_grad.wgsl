// maximum.grad of the operand a: dy where a is larger, half of it where both are equal (PyTorch's choice), else 0. With
// a and b exchanged it is the gradient of b, and of minimum.

fn apply_grad(a: vec4<f32>, b: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return select(select(dy, 0.5 * dy, a == b), vec4<f32>(0.0), a < b);
}
