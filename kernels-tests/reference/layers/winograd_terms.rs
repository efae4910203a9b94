//! The terms that Winograd's F(m×m, 3×3) sums: |Aᵀ|·[Σ_c (|G|·|g|·|Gᵀ|) ⊙ (|Bᵀ|·|d|·|B|)]·|A| of each window d of inputs,
//! with the absolute values of the matrices (Lavin and Gray 2015, arXiv 1509.09308, 4.1 and 4.3).

use crate::reference::Tensor;

/// A matrix by its rows.
type Rows = &'static [&'static [f64]];

/// The absolute values of the matrices of F(m×m, 3×3).
pub struct Absolute {
    g: Rows,
    b: Rows,
    a: Rows,
}

const SIXTH: f64 = 1.0 / 6.0;

/// The points 0, ±1 and ∞.
pub const F2: Absolute = Absolute {
    g: &[&[1.0, 0.0, 0.0], &[0.5, 0.5, 0.5], &[0.5, 0.5, 0.5], &[0.0, 0.0, 1.0]],
    b: &[&[1.0, 0.0, 1.0, 0.0], &[0.0, 1.0, 1.0, 0.0], &[0.0, 1.0, 1.0, 0.0], &[0.0, 1.0, 0.0, 1.0]],
    a: &[&[1.0, 1.0, 1.0, 0.0], &[0.0, 1.0, 1.0, 1.0]],
};

/// The points 0, ±1, ±2 and ∞.
pub const F4: Absolute = Absolute {
    g: &[
        &[0.25, 0.0, 0.0],
        &[SIXTH, SIXTH, SIXTH],
        &[SIXTH, SIXTH, SIXTH],
        &[SIXTH / 4.0, SIXTH / 2.0, SIXTH],
        &[SIXTH / 4.0, SIXTH / 2.0, SIXTH],
        &[0.0, 0.0, 1.0],
    ],
    b: &[
        &[4.0, 0.0, 5.0, 0.0, 1.0, 0.0],
        &[0.0, 4.0, 4.0, 1.0, 1.0, 0.0],
        &[0.0, 4.0, 4.0, 1.0, 1.0, 0.0],
        &[0.0, 2.0, 1.0, 2.0, 1.0, 0.0],
        &[0.0, 2.0, 1.0, 2.0, 1.0, 0.0],
        &[0.0, 4.0, 0.0, 5.0, 0.0, 1.0],
    ],
    a: &[
        &[1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        &[0.0, 1.0, 1.0, 2.0, 2.0, 0.0],
        &[0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        &[0.0, 1.0, 1.0, 8.0, 8.0, 1.0],
    ],
};

impl Absolute {
    /// The most terms of a channel that enter an output: 9 of 16 places of a window, or 25 of 36.
    pub fn places(&self) -> usize {
        let along = |row: &&[f64]| row.iter().filter(|v| **v > 0.0).count();
        self.a.iter().map(along).max().unwrap_or(0).pow(2)
    }

    /// Σ|terms| of each output of x [N, C, H, W] with filters [K, C, 3, 3].
    pub fn terms(&self, x: &[Tensor], padding: usize) -> Vec<f64> {
        let (m, side) = (self.a.len(), self.b.len());
        let [n, channels, h, w] = [0, 1, 2, 3].map(|i| x[0].dim(i));
        let (filters, oh, ow) = (x[1].dim(0), h + 2 * padding - 2, w + 2 * padding - 2);
        let input = |plane: usize, row: usize, column: usize| {
            let inside = row >= padding && column >= padding && row - padding < h && column - padding < w;
            let at = || (plane * h + row - padding) * w + column - padding;
            if inside { x[0].f[at()].abs() } else { 0.0 }
        };
        let absolute = |g: &[f64]| g.iter().map(|v| v.abs()).collect::<Vec<_>>();
        let u: Vec<Vec<f64>> = x[1].f.chunks(9).map(|g| both_sides(self.g, &absolute(g))).collect();
        let mut terms = vec![0.0; n * filters * oh * ow];
        for (image, i, j) in (0..n * oh * ow).map(|at| (at / (oh * ow), at / ow % oh, at % ow)) {
            if i % m != 0 || j % m != 0 {
                continue; // no window begins here
            }
            let window = |c: usize| (0..side * side).map(move |z| (image * channels + c, i + z / side, j + z % side));
            let d = |c: usize| window(c).map(|(plane, row, column)| input(plane, row, column)).collect::<Vec<_>>();
            let v: Vec<Vec<f64>> = (0..channels).map(|c| both_sides(self.b, &d(c))).collect();
            for filter in 0..filters {
                let product = |z: usize| (0..channels).map(|c| u[filter * channels + c][z] * v[c][z]).sum();
                let y = both_sides(self.a, &(0..side * side).map(product).collect::<Vec<f64>>());
                for (p, q) in (0..m * m).map(|at| (i + at / m, j + at % m)).filter(|(p, q)| *p < oh && *q < ow) {
                    terms[((image * filters + filter) * oh + p) * ow + q] = y[(p - i) * m + q - j];
                }
            }
        }
        terms
    }
}

/// M·s·Mᵀ of a square s.
fn both_sides(m: Rows, s: &[f64]) -> Vec<f64> {
    let side = m[0].len();
    let sum = |u: &[f64], v: &[f64]| (0..side * side).map(|z| u[z / side] * v[z % side] * s[z]).sum();
    m.iter().flat_map(|u| m.iter().map(move |v| sum(u, v))).collect()
}
