// The operands of matmul in f16 as words of two, four elements in a row at a time: the twin of layers/matmul/fours_f16.wgsl for
// adapters without shader-f16. After common/half.wgsl and common/quad_f16.wgsl.

@group(0) @binding(1) var<storage, read> a: array<Quad>;
@group(0) @binding(2) var<storage, read> b: array<Quad>;

fn a_four(i: u32) -> vec4<f32> {
    return loaded(a[i]);
}

fn b_four(i: u32) -> vec4<f32> {
    return loaded(b[i]);
}
