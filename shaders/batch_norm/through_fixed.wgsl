// Running statistics do not depend on x: nothing flows through them.

fn through_statistics(channel: u32, from_dy: f32, rstd: f32, sums: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(0.0);
}
