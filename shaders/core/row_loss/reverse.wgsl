// The reverse cross-entropy of a row (Wang et al. 2019, arXiv:1908.06112, eq. 5): −Σ_k p_k log y_k with log 0 = A, so
// −A Σ_{k ≠ label} p_k. As the authors' code has it, p is clamped from below at 1e-7, and no gradient passes there.

// What a unit adds to (Σ max(p_k, 1e-7) over k ≠ label, free, held). free is Σ p_k over k ≠ label that are not clamped, held is
// Σ p_k over the label and the clamped. free and held sum to 1. Slopes need both, because 1 less a sum near 1 has few digits.
fn reverse_terms(prob: V, at_label: V) -> vec3<f32> {
    let others = V(1.0) - at_label;
    let clamped = prob < V(1e-7);
    let free = select(prob, V(0.0), clamped);
    let raised = select(prob, V(1e-7), clamped); // not max(), which may lose a NaN
    return vec3<f32>(sum_v(others * raised), sum_v(others * free), sum_v(prob - others * free));
}

// The slope of Σ_{k ≠ label} max(p_k, 1e-7): p_k ([k ≠ label, not clamped] − free).
fn reverse_slope(prob: V, at_label: V, free: f32, held: f32) -> V {
    let counts = (at_label == V(0.0)) & (prob >= V(1e-7));
    return prob * select(V(-free), V(held), counts);
}
