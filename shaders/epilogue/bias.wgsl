// v + bias, one number a channel.

@group(0) @binding($SHIFT) var<storage, read> bias: array<f32>;

fn shifted(v: vec4<f32>, row: u32, columns: vec4<u32>) -> vec4<f32> {
    let c = channels_of(row, columns);
    return v + vec4<f32>(bias[c.x], bias[c.y], bias[c.z], bias[c.w]);
}
