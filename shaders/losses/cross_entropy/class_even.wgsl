// Every class weighs 1. The twin of class_weights.wgsl.

fn class_weight(k: u32) -> V {
    return V(1.0);
}
