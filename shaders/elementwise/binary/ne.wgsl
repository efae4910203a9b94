// ne: y = 1 where a != b, else 0.

fn apply(a: V, b: V) -> vec4<f32> {
    // Not by !=, which is ordered in SPIR-V: of a NaN it says no, and a NaN is unequal to all.
    return select(vec4<f32>(1.0), vec4<f32>(0.0), a == b);
}
