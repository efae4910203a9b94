// The operands of a product in f32 whose left one is packed: a vec4 of four rows for each k. The twin of
// core/gemm/operands_f32.wgsl for core/gemm/stage_taps.wgsl.

@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<f32>;

fn a_four(i: u32) -> vec4<f32> {
    return a[i];
}

fn a_get(i: u32) -> f32 {
    return a[i / 4u][i % 4u];
}

fn b_get(i: u32) -> f32 {
    return b[i];
}
