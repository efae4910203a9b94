// Batch norm with given statistics: (v − mean)·weight/√(variance + eps) + bias, one number of each a channel: the same for
// all four elements (WIDTH is 1) or one for each (4). The mean is taken off first, as shaders/layers/batch_norm/ does: folding
// it into the bias would cancel digits where it is large. The bits of eps stand in the text. Not inverseSqrt, which may be
// off by more.

//@ let bias = SHIFT + 1
//@ let mean = SHIFT + 2
//@ let variance = SHIFT + 3
@group(0) @binding($SHIFT) var<storage, read> weight_of: array<f32>;
@group(0) @binding($bias) var<storage, read> bias_of: array<f32>;
@group(0) @binding($mean) var<storage, read> mean_of: array<f32>;
@group(0) @binding($variance) var<storage, read> variance_of: array<f32>;

//@ let b = 1 % WIDTH
//@ let c = 2 % WIDTH
//@ let d = 3 % WIDTH
fn shifted(v: vec4<f32>, row: u32, columns: vec4<u32>) -> vec4<f32> {
    //@ for i in 0..WIDTH
    let channel_$i = channel_of(row, columns[$i]);
    let mean_$i = mean_of[channel_$i];
    let scale_$i = 1.0 / sqrt(variance_of[channel_$i] + bitcast<f32>(${EPS}u)) * weight_of[channel_$i];
    let bias_$i = bias_of[channel_$i];
    //@ end
    let mean = vec4<f32>(mean_0, mean_$b, mean_$c, mean_$d);
    let scale = vec4<f32>(scale_0, scale_$b, scale_$c, scale_$d);
    return (v - mean) * scale + vec4<f32>(bias_0, bias_$b, bias_$c, bias_$d);
}
