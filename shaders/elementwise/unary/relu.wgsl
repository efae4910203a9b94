// relu: y = max(x, 0); a NaN stays a NaN, so that a bad step is seen. dx = dy where y > 0 or NaN, 0 at 0 (PyTorch's choice).
// The tests are on bits: a driver may assume that no float is a NaN, and make a maximum of a comparison.

fn apply(x: vec4<f32>) -> vec4<f32> {
    let below = bitcast<vec4<u32>>(x) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u); // −0 to −∞
    return select(x, vec4<f32>(0.0), below);
}

// y is never below 0.
fn apply_grad(y: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return select(dy, vec4<f32>(0.0), bitcast<vec4<u32>>(y) == vec4<u32>(0u));
}
