// A row counts as much as its class weighs: PyTorch divides by Σ w_i c_label. The twin of core/row_loss/count_one.wgsl.

@group(0) @binding(5) var<storage, read> labels: array<u32>;
@group(0) @binding(6) var<storage, read> class_weights: array<f32>;

fn count(i: u32) -> f32 {
    return class_weights[min(labels[i], p.classes - 1u)];
}
