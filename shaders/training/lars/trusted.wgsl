// The trust ratio of a tensor, for training/sgd/step.wgsl. Its twin is training/sgd/untrusted.wgsl.
@group(0) @binding(5) var<storage, read> ratio: array<f32>;

fn trust(tensor: u32) -> f32 {
    return ratio[tensor];
}
