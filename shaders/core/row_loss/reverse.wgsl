// The reverse cross-entropy of a row (Wang et al. 2019, arXiv:1908.06112, eq. 5): −Σ_k p_k log y_k with log 0 = A, so
// −A Σ_{k ≠ label} p_k. As the authors' code has it, p is clamped from below at 1e-7, and no gradient passes there.

// What a unit adds to (Σ max(p_k, 1e-7), Σ p_k where p_k is not clamped) over k ≠ label; the second is for the slope.
fn reverse_terms(prob: V, at_label: V) -> vec2<f32> {
    let others = V(1.0) - at_label;
    let clamped = prob < V(1e-7);
    let free = select(prob, V(0.0), clamped);
    let raised = select(prob, V(1e-7), clamped); // not max(), which may lose a NaN
    return vec2<f32>(sum_v(others * raised), sum_v(others * free));
}

// The slope of Σ_{k ≠ label} max(p_k, 1e-7): p_k ([k ≠ label, not clamped] − the second sum).
fn reverse_slope(prob: V, at_label: V, free: f32) -> V {
    return prob * (select(V(0.0), V(1.0) - at_label, prob >= V(1e-7)) - V(free));
}
