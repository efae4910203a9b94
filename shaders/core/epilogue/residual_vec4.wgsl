// As residual.wgsl, where the four places are a whole vec4.

@group(0) @binding($RESIDUAL) var<storage, read> residual: array<vec4<f32>>;

fn finish(v: vec4<f32>, row: u32, columns: vec4<u32>, at: vec4<u32>) -> vec4<f32> {
    return apply(shifted(v, row, columns) + residual[at.x / 4u]);
}
