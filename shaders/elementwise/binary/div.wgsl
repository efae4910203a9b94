// div: y = a / b.

fn apply(a: V, b: V) -> vec4<f32> {
    return a / b;
}
