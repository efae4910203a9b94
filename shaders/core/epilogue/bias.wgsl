// v + bias, one number a channel: the same for all four elements (WIDTH is 1) or one for each (4).

@group(0) @binding($SHIFT) var<storage, read> bias: array<f32>;

//@ let b = 1 % WIDTH
//@ let c = 2 % WIDTH
//@ let d = 3 % WIDTH
fn shifted(v: vec4<f32>, row: u32, columns: vec4<u32>) -> vec4<f32> {
    //@ for i in 0..WIDTH
    let bias_$i = bias[channel_of(row, columns[$i])];
    //@ end
    return v + vec4<f32>(bias_0, bias_$b, bias_$c, bias_$d);
}
