//! Ranks of values, those that tie sharing the mean of theirs.

/// The rank of each value from 1, the smallest first.
pub fn average_ranks(values: &[f64]) -> Vec<f64> {
    let order = ascending(values);
    let (mut ranks, mut first) = (vec![0.0; values.len()], 0);
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        tied.iter().for_each(|&i| ranks[i] = first as f64 + (tied.len() as f64 + 1.0) / 2.0);
        first += tied.len();
    }
    ranks
}

/// How many values share each value.
pub fn tie_sizes(values: &[f64]) -> Vec<usize> {
    ascending(values).chunk_by(|&a, &b| values[a] == values[b]).map(<[usize]>::len).collect()
}

fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_worked_by_hand() {
        assert_eq!(average_ranks(&[3.0, 1.0, 3.0, 0.0, 3.0]), [4.0, 2.0, 4.0, 1.0, 4.0]);
        assert_eq!(tie_sizes(&[3.0, 1.0, 3.0, 0.0, 3.0]), [1, 1, 3]);
        // The two zeros tie, whatever their sign.
        assert_eq!(average_ranks(&[0.0, -0.0]), [1.5, 1.5]);
    }
}
