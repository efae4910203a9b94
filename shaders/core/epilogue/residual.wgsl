// As finish.wgsl, with what lies at the same place of another tensor added before the activation.

@group(0) @binding($RESIDUAL) var<storage, read> residual: array<f32>;

fn finish(v: vec4<f32>, row: u32, columns: vec4<u32>, at: vec4<u32>) -> vec4<f32> {
    let other = vec4<f32>(residual[at.x], residual[at.y], residual[at.z], residual[at.w]);
    return apply(shifted(v, row, columns) + other);
}
