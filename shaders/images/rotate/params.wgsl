// Params of rotate; where angles are given, the draws' fields are 0.

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, epoch: u32, planes: u32, tile: u32, height: u32, width: u32,
    probability: f32, low: f32, high: f32, reflect: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
