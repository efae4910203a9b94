// The clamp of the authors' code, for the loss and for the targets. Not clamp(), which may lose a NaN.

fn clamped(prob: V) -> V {
    let raised = select(prob, V(1e-4), prob < V(1e-4));
    return select(raised, V(1.0 - 1e-4), raised > V(1.0 - 1e-4));
}
