// What the walk of row losses needs of a unit of one element. The twin of of_vec4.wgsl.

fn sum_v(a: f32) -> f32 {
    return a;
}

// On bits, since a driver may assume that no float is a NaN.
fn is_nan_v(a: f32) -> bool {
    return (bitcast<u32>(a) & 0x7fffffffu) > 0x7f800000u;
}

fn unit_of(j: u32) -> u32 {
    return j;
}

fn element(a: f32, j: u32) -> f32 {
    return a;
}

fn one_hot(k: u32, j: u32) -> f32 {
    return select(0.0, 1.0, k == j);
}
