// As residual.wgsl, of halves: after common/half.wgsl.

@group(0) @binding($RESIDUAL) var<storage, read> residual: array<u32>;

fn residual_at(at: u32) -> f32 {
    return float((residual[at / 2u] >> (16u * (at % 2u))) & 0xffffu);
}

fn finish(v: vec4<f32>, row: u32, columns: vec4<u32>, at: vec4<u32>) -> vec4<f32> {
    let other = vec4<f32>(residual_at(at.x), residual_at(at.y), residual_at(at.z), residual_at(at.w));
    return apply(shifted(v, row, columns) + other);
}
