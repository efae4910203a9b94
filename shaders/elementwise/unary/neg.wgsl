// neg: y = −x. dx = −dy is neg itself.

fn apply(x: vec4<f32>) -> vec4<f32> {
    return -x;
}
