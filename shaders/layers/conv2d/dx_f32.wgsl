// Where conv2d's gradient to its input puts a number, if it has a place, in f32. Its twin is dx_f16.wgsl. The store stands here
// and not in shaders/common/put_f32.wgsl: a function of a function behind a branch costs RADV an instruction a number.

@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

fn c_put(at: u32, v: f32) {
    if (at < NOWHERE) {
        dx[at] = v;
    }
}
