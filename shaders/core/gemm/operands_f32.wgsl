// The operands of a product in f32; core/gemm/operands_f16.wgsl and core/gemm/operands_packed.wgsl are its twins for halves.

@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;

fn a_get(i: u32) -> f32 {
    return a[i];
}

fn b_get(i: u32) -> f32 {
    return b[i];
}
