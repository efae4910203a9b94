// The operands of matmul in f32, four in a row at a time; layers/matmul/fours_f16.wgsl and layers/matmul/fours_packed.wgsl are its twins
// for halves.

@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;

fn a_four(i: u32) -> vec4<f32> {
    return a[i];
}

fn b_four(i: u32) -> vec4<f32> {
    return b[i];
}
