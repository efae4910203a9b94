// The result of a product of matrices at strides, an element at a time: shaders/common/put_f32.wgsl or a twin puts it.

fn c_put(at: u32, v: f32) {
    put(at, v);
}
