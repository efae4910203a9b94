//! Small square matrices.

/// The inverse of a matrix [n, n], row by row, by Gauss-Jordan elimination with the largest pivot. `None` where it
/// has none, or where a pivot is so small that it would hold nothing but rounding.
pub(super) fn inverse(matrix: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut a: Vec<Vec<f64>> = matrix.chunks(n).map(<[f64]>::to_vec).collect();
    a.iter_mut().enumerate().for_each(|(i, row)| row.extend((0..n).map(|k| f64::from(u8::from(i == k)))));
    for k in 0..n {
        let largest = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs())).unwrap_or(k);
        a.swap(k, largest);
        let pivot = a[k][k];
        if pivot.abs() < 1e-6 {
            return None;
        }
        a[k].iter_mut().for_each(|v| *v /= pivot);
        let own = a[k].clone();
        for (_, row) in a.iter_mut().enumerate().filter(|(i, _)| *i != k) {
            let factor = row[k];
            row.iter_mut().zip(&own).for_each(|(v, o)| *v -= factor * o);
        }
    }
    Some(a.into_iter().flat_map(|row| row[n..].to_vec()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let a = [0.1, 0.7, 0.2, 0.8, 0.1, 0.1, 0.25, 0.25, 0.5];
        let b = inverse(&a, 3).unwrap();
        for (i, k) in (0..9).map(|i| (i / 3, i % 3)) {
            let sum: f64 = (0..3).map(|j| a[3 * i + j] * b[3 * j + k]).sum();
            assert!((sum - f64::from(u8::from(i == k))).abs() < 1e-12, "{i} {k}: {sum}");
        }
    }

    #[test]
    fn rows_that_are_alike_have_no_inverse() {
        assert_eq!(inverse(&[0.5; 4], 2), None);
    }
}
