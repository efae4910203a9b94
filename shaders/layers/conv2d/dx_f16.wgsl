// Where conv2d's gradient to its input puts a number, if it has a place, in f16: by shaders/common/put_half.wgsl. Its twin is
// dx_f32.wgsl.

fn c_put(at: u32, v: f32) {
    if (at < NOWHERE) {
        put(at, v);
    }
}
