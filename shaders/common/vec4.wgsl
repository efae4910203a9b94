// The unit a kernel loads, for rows whose length is a multiple of four; common/scalar.wgsl is its twin for the rest.

alias V = vec4<f32>;

fn dot_v(a: V, b: V) -> f32 {
    return dot(a, b);
}

fn max_v(a: V) -> f32 {
    return max(max(a.x, a.y), max(a.z, a.w));
}
