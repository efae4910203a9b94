// minimum: y is the smaller of a and b; a NaN in either is a NaN, as in PyTorch.

// On bits: a driver may assume that no float is a NaN.
fn is_nan(v: V) -> vec4<bool> {
    return (bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

fn apply(a: V, b: V) -> vec4<f32> {
    return select(b, a, (a < b) | is_nan(a));
}
