// What the walk of row losses needs of a unit of four elements; of_scalar.wgsl is its twin for units of one.

fn sum_v(a: vec4<f32>) -> f32 {
    return (a.x + a.y) + (a.z + a.w);
}

// On bits, since a driver may assume that no float is a NaN.
fn is_nan_v(a: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(a) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

// The unit that element j of a row lies in, and element j of that unit.
fn unit_of(j: u32) -> u32 {
    return j / 4u;
}

fn element(a: vec4<f32>, j: u32) -> f32 {
    return a[j % 4u];
}

// 1 where unit k holds element j, 0 elsewhere.
fn one_hot(k: u32, j: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), vec4<f32>(1.0), vec4<u32>(4u * k) + vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(j));
}
