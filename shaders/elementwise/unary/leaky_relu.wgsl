// leaky_relu: y = x where x > 0, else a·x. dx = dy where x > 0, else a·dy. Where a ≥ 0 the output tells as much as the
// input: y > 0 exactly where x > 0.

fn apply(x: vec4<f32>) -> vec4<f32> {
    return select(p.a * x, x, x > vec4<f32>(0.0));
}

fn apply_grad(v: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return select(p.a * dy, dy, v > vec4<f32>(0.0));
}
