// maximum: y is the larger of a and b; a NaN in either is a NaN, as in PyTorch.

fn apply(a: V, b: V) -> vec4<f32> {
    return select(b, a, (a > b) | is_nan(a));
}
