// −log of the softmax at the label, summed from small parts: the cross-entropy of a row.

fn cross_entropy(i: u32, label: u32, shift: vec4<f32>) -> f32 {
    return shift.y + (shift.x - element(logits[i * p.vectors + unit_of(label)], label));
}
