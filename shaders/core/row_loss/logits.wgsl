// Rows of logits as the one source of a loss, and their log-softmax and softmax.

@group(0) @binding(1) var<storage, read> logits: array<V>;

fn source_0(i: u32, k: u32) -> V {
    return logits[i * p.vectors + k];
}

fn log_softmax(i: u32, k: u32, shift: vec4<f32>) -> V {
    return (logits[i * p.vectors + k] - V(shift.x)) - V(shift.y);
}

// The log-sum-exp as slopes need it again, and the softmax by it.
fn lse_of(shift: vec4<f32>) -> f32 {
    return shift.x + shift.y;
}

fn softmax(i: u32, k: u32, lse: f32) -> V {
    return exp(logits[i * p.vectors + k] - V(lse));
}
