// The loss was multiplied by a scale before the backward pass. Its twin is unscaled.wgsl.
@group(0) @binding(4) var<storage, read> scale: array<f32>;

fn loss_scale() -> f32 {
    return scale[0];
}
