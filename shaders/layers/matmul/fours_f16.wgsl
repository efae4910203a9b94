// The operands of matmul in f16, four in a row at a time, computed with in f32: after common/enable_f16.wgsl.

@group(0) @binding(1) var<storage, read> a: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f16>>;

fn a_four(i: u32) -> vec4<f32> {
    return vec4<f32>(a[i]);
}

fn b_four(i: u32) -> vec4<f32> {
    return vec4<f32>(b[i]);
}
