// How a product ends: four elements v of one row, given their columns and their places `at` in the output,
// on the way from registers to memory. `shifted` is a bias, a batch norm or nothing, `apply` the activation.

fn finish(v: vec4<f32>, row: u32, columns: vec4<u32>, at: vec4<u32>) -> vec4<f32> {
    return apply(shifted(v, row, columns));
}
