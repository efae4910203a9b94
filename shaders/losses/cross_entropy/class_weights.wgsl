// A weight for each class.

@group(0) @binding(3) var<storage, read> class_weights: array<V>;

fn class_weight(k: u32) -> V {
    return class_weights[k];
}
