//! What tests of noise kinds share.

/// `n` labels of `classes` classes in turn.
pub(super) fn labels(n: usize, classes: u32) -> Vec<u32> {
    (0..n as u32).map(|i| i % classes).collect()
}

/// The share of each class's labels that became each class, and the largest deviation that chance gives one of them.
pub(super) fn matrix(clean: &[u32], given: &[u32], classes: usize) -> (Vec<Vec<f64>>, f64) {
    let mut counts = vec![vec![0.0; classes]; classes];
    clean.iter().zip(given).for_each(|(&c, &g)| counts[c as usize][g as usize] += 1.0);
    let mut fewest = f64::INFINITY;
    for row in &mut counts {
        let all: f64 = row.iter().sum();
        fewest = all.min(fewest);
        row.iter_mut().for_each(|n| *n /= all);
    }
    (counts, (0.25 / fewest).sqrt())
}
