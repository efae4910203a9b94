// The shift of a channel, which the coefficients carry to the gradient's last kernel.

@group(0) @binding(7) var<storage, read> bias: array<f32>;

fn shift_in(channel: u32) -> f32 {
    return bias[channel];
}
