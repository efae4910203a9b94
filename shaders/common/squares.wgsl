// Σ of squares of the true elements of vec4 `i` of a tensor of `elements`: what the padding holds does not count.

fn squares(v: vec4<f32>, i: u32, elements: u32) -> f32 {
    let inside = 4u * i + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(elements);
    let u = select(vec4<f32>(0.0), v, inside);
    return dot(u, u);
}
