// The result of a product of matrices at strides, four neighbours at a time: N is whole vec4.

@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;

fn c_put_four(at: u32, v: vec4<f32>) {
    c[at / 4u] = v;
}
