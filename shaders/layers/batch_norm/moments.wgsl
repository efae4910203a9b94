// Mean and variance without cancellation: a few cells at a time around their own mean, merged by Chan's formula.
// A one-pass Σx² − (Σx)²/n would lose every digit of a small variance beside a large mean. Cells are first shifted by
// the first of their channel, exact among neighbours, so that the rounding of a large mean does not count either.

@group(0) @binding(1) var<storage, read> x: array<Held>;

fn shift_of(channel: u32) -> f32 {
    let first = start_of(channel);
    return total(got(x[place(first)], first)) / WIDTH;
}

struct Moments {
    count: f32,
    mean: f32,
    // Σ (x − mean)²
    m2: f32,
}

// A count to divide by. Not max(), which may lose a NaN.
fn least(count: f32) -> f32 {
    return select(count, 1e-30, count < 1e-30);
}

fn merge(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let share = b.count / least(count);
    let delta = b.mean - a.mean;
    return Moments(count, a.mean + delta * share, a.m2 + b.m2 + delta * delta * a.count * share);
}

// As often as a sample's weight says; of weight 0 not even a NaN is left.
fn weigh(m: Moments, weight: f32) -> Moments {
    if (weight == 0.0) {
        return Moments(0.0, 0.0, 0.0);
    }
    return Moments(m.count * weight, m.mean, m.m2 * weight);
}

// Of all of a channel. A batch whose weights are all 0 has mean 0 and variance 0.
fn mean_of(channel: u32, m: Moments) -> f32 {
    return select(shift_of(channel) + m.mean, 0.0, m.count == 0.0);
}

fn variance_of(m: Moments) -> f32 {
    return m.m2 / least(m.count);
}

fn moments_of_four(a: Cell, b: Cell, c: Cell, d: Cell) -> Moments {
    let mean = total((a + b) + (c + d)) / (4.0 * WIDTH);
    let da = a - mean;
    let db = b - mean;
    let dc = c - mean;
    let dd = d - mean;
    return Moments(4.0 * WIDTH, mean, total((da * da + db * db) + (dc * dc + dd * dd)));
}

fn moments_of_one(a: Cell) -> Moments {
    let mean = total(a) / WIDTH;
    let da = a - mean;
    return Moments(WIDTH, mean, total(da * da));
}
