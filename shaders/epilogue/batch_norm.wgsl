// Batch norm with given statistics: (v − mean)·weight/√(variance + eps) + bias, one number of each a channel. The mean is
// taken off first, as shaders/batch_norm/ does: folding it into the bias would cancel digits where it is large. The bits
// of eps stand in the text. Not inverseSqrt, which may be off by more.

//@ let bias = SHIFT + 1
//@ let mean = SHIFT + 2
//@ let variance = SHIFT + 3
@group(0) @binding($SHIFT) var<storage, read> weight_of: array<f32>;
@group(0) @binding($bias) var<storage, read> bias_of: array<f32>;
@group(0) @binding($mean) var<storage, read> mean_of: array<f32>;
@group(0) @binding($variance) var<storage, read> variance_of: array<f32>;

fn shifted(v: vec4<f32>, row: u32, columns: vec4<u32>) -> vec4<f32> {
    let c = channels_of(row, columns);
    //@ for i in 0..4
    let scale_$i = 1.0 / sqrt(variance_of[c[$i]] + bitcast<f32>(${EPS}u)) * weight_of[c[$i]];
    //@ end
    let scale = vec4<f32>(scale_0, scale_1, scale_2, scale_3);
    let mean = vec4<f32>(mean_of[c.x], mean_of[c.y], mean_of[c.z], mean_of[c.w]);
    return (v - mean) * scale + vec4<f32>(bias_of[c.x], bias_of[c.y], bias_of[c.z], bias_of[c.w]);
}
