// What softmax ($LOG is 0) or log_softmax ($LOG is 1) makes of a = (x − top) / T and of Σ exp(a) of its row. The sum is
// at least 1 but where the whole row is −inf, which then gives 0, or −inf: not NaN.

// Where a maximum begins, and so what a row of −inf is shifted by; a row that lies below it counts as one of −inf. A
// lower one would overflow where it is scaled.
const LOWEST: f32 = -1e30;

fn result(a: V, sum: f32) -> V {
    let whole = select(sum, 1.0, sum < 0.5);
    if ($LOG == 1) {
        return a - log(whole);
    }
    return exp(a) * (1.0 / whole);
}
