//! The same small steps in f64 on the host.

/// A matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub v: Vec<f64>,
}

impl Matrix {
    pub fn new(columns: usize, v: &[f32]) -> Self {
        Matrix { rows: v.len() / columns, columns, v: v.iter().map(|x| *x as f64).collect() }
    }

    /// Zeros in the shape of `self`.
    pub fn zeros(&self) -> Self {
        Matrix { v: vec![0.0; self.v.len()], ..*self }
    }

    pub fn transposed(&self) -> Self {
        let v = (0..self.v.len()).map(|i| self.v[i % self.rows * self.columns + i / self.rows]).collect();
        Matrix { rows: self.columns, columns: self.rows, v }
    }

    pub fn times(&self, other: &Matrix) -> Self {
        let at = |i: usize| {
            let (row, column) = (i / other.columns, i % other.columns);
            (0..self.columns).map(|k| self.v[row * self.columns + k] * other.v[k * other.columns + column]).sum()
        };
        Matrix { rows: self.rows, columns: other.columns, v: (0..self.rows * other.columns).map(at).collect() }
    }

    /// Applies f to each pair of elements.
    pub fn with(&self, other: &Matrix, f: impl Fn(f64, f64) -> f64) -> Self {
        Matrix { v: self.v.iter().zip(&other.v).map(|(a, b)| f(*a, *b)).collect(), ..*self }
    }

    /// The rows of `self`, then those of `other`.
    pub fn above(&self, other: &Matrix) -> Self {
        let v: Vec<f64> = self.v.iter().chain(&other.v).copied().collect();
        Matrix { rows: self.rows + other.rows, columns: self.columns, v }
    }

    pub fn floats(&self) -> Vec<f32> {
        self.v.iter().map(|x| *x as f32).collect()
    }
}

/// Σ w·loss / Σ w over rows, and its gradient with respect to the logits.
pub fn cross_entropy(logits: &Matrix, labels: &[u32], weights: &[f32]) -> (f64, Matrix) {
    let total: f64 = weights.iter().map(|w| *w as f64).sum();
    let (mut loss, mut grad) = (0.0, logits.zeros());
    let rows = logits.v.chunks(logits.columns).zip(grad.v.chunks_mut(logits.columns));
    for ((row, slope), (&label, &w)) in rows.zip(labels.iter().zip(weights)) {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - top).exp()).sum();
        let share = w as f64 / total;
        loss += share * (sum.ln() + top - row[label as usize]);
        for (k, (x, d)) in row.iter().zip(slope).enumerate() {
            *d = share * ((x - top).exp() / sum - if k == label as usize { 1.0 } else { 0.0 });
        }
    }
    (loss, grad)
}
