// The gradient of softmax ($LOG is 0), dx = y (dy − Σ y dy) / T, or of log_softmax ($LOG is 1),
// dx = (dy − exp(y) Σ dy) / T: what is summed over a row, and what becomes of the sum.

fn summed(y: V, dy: V) -> f32 {
    if ($LOG == 1) {
        return dot_v(dy, V(1.0));
    }
    return dot_v(y, dy);
}

fn slope(y: V, dy: V, sum: f32) -> V {
    if ($LOG == 1) {
        return (dy - exp(y) * sum) * p.inverse_temperature;
    }
    return y * (dy - sum) * p.inverse_temperature;
}
