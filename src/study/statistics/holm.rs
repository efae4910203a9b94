//! p values of several tests at once.

/// Holm's step-down adjustment (1979): the i-th smallest of m, times m − i + 1, never below a smaller one's and at most 1. In
/// the order of `p`. The chance that any true hypothesis is rejected stays below the level.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut least) = (vec![0.0; p.len()], 0.0_f64);
    for (rank, i) in order.into_iter().enumerate() {
        least = least.max((p[i] * (p.len() - rank) as f64).min(1.0));
        adjusted[i] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::statistics::golden::{Golden, near};

    #[test]
    fn adjusted_values_are_those_of_statsmodels() {
        for case in Golden::read().cases("holm") {
            for (got, due) in holm(&case.numbers("p")).iter().zip(case.numbers("adjusted")) {
                near(*got, due, 1e-12, "adjusted");
            }
        }
        assert_eq!(holm(&[]), Vec::<f64>::new());
    }
}
