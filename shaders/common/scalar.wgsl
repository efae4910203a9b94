// The unit a kernel loads, for rows of any length; common/vec4.wgsl is its twin for multiples of four.

alias V = f32;

fn dot_v(a: V, b: V) -> f32 {
    return a * b;
}

fn max_v(a: V) -> f32 {
    return a;
}
