// clamp: y = min(max(x, a), b); a NaN stays a NaN. dx = dy where a < x < b, else 0: at a bound too, as in PyTorch 2.15
// and as relu at 0.

fn apply(x: vec4<f32>) -> vec4<f32> {
    let raised = select(x, vec4<f32>(p.a), x < vec4<f32>(p.a));
    let lowered = select(raised, vec4<f32>(p.b), raised > vec4<f32>(p.b));
    // On bits: a driver may assume that no float is a NaN, and make a maximum of a comparison.
    return select(lowered, x, (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u));
}

fn apply_grad(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(0.0), dy, (x > vec4<f32>(p.a)) & (x < vec4<f32>(p.b)));
}
