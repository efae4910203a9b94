// The clamp of the authors' code, for the loss and for the targets.

fn clamped(prob: V) -> V {
    return clamp(prob, V(1e-4), V(1.0 - 1e-4));
}
