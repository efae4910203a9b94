// The operands of a product in f16, one element at a time, computed with in f32: after common/enable_f16.wgsl.

@group(0) @binding(1) var<storage, read> a: array<f16>;
@group(0) @binding(2) var<storage, read> b: array<f16>;

fn a_get(i: u32) -> f32 {
    return f32(a[i]);
}

fn b_get(i: u32) -> f32 {
    return f32(b[i]);
}
