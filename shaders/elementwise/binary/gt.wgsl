// gt: y = 1 where a > b, else 0.

fn apply(a: V, b: V) -> vec4<f32> {
    return select(vec4<f32>(0.0), vec4<f32>(1.0), a > b);
}
