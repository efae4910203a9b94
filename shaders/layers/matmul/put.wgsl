// The result of a product of matrices at strides, an element at a time.

@group(0) @binding(3) var<storage, read_write> c: array<f32>;

fn c_put(at: u32, v: f32) {
    c[at] = v;
}
