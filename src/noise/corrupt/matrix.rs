//! Noise by a matrix of transitions: row c holds the probabilities P(given = g | true = c). At the rate that the matrix has by
//! itself, Σ_c π_c (1 − T_cc) with the classes' shares π of the data, it holds as it stands; at another rate every
//! probability of a wrong label is scaled by the same factor, so that the share of wrong labels is `rate`.

use super::{Corrupted, Kind};
use crate::base::range::{Mistake, mistake};
use crate::base::rng::Rng;
use crate::base::{Error, Result};
use crate::nn::listed::{Checked, Entry, read};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const ENTRY: Entry<dyn Kind> = Entry {
    name: "matrix",
    about: "labels go wrong by a matrix of transitions, scaled so that the share of wrong ones is the rate",
    overlay: include_str!("../../../configs/noise/matrix.toml"),
    read: |from| read(from, |kind: Matrix| Arc::new(kind)),
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    /// P(given | true): a row for each true class, in the order of the classes; rows sum to 1.
    rows: Vec<Vec<f64>>,
}

/// How far the sum of a row may lie from 1: probabilities are written with few digits.
const SUM: f64 = 1e-3;

impl Checked for Matrix {
    fn check(&self) -> Result<(), Mistake> {
        let k = self.rows.len();
        for (c, row) in self.rows.iter().enumerate() {
            if row.len() != k {
                let length = row.len();
                return mistake("rows", format!("has {k} rows and {length} values in row {c}; it is a square"));
            }
            if let Some(p) = row.iter().find(|p| !(0.0..=1.0).contains(*p)) {
                return mistake("rows", format!("holds {p} in row {c}; probabilities lie from 0 to 1"));
            }
            let sum: f64 = row.iter().sum();
            if (sum - 1.0).abs() > SUM {
                let what = "use P(given | true), a row for each true class";
                return mistake("rows", format!("sums to {sum} in row {c}, and a row sums to 1; {what}"));
            }
        }
        if (0..k).all(|c| self.wrong(c) == 0.0) {
            return mistake("rows", "makes no label wrong; put probabilities beside the diagonal");
        }
        Ok(())
    }
}

impl Matrix {
    /// The probability that a label of class `c` goes wrong, from the values that are drawn from.
    fn wrong(&self, c: usize) -> f64 {
        self.rows[c].iter().enumerate().filter(|(g, _)| *g != c).map(|(_, p)| p).sum()
    }

    /// Another class for a label of class `c`, by the row's probabilities.
    fn other(&self, rng: &mut Rng, c: usize) -> u32 {
        let others = self.rows[c].iter().enumerate().filter(|(g, p)| *g != c && **p > 0.0);
        let at = f64::from(rng.uniform()) * self.wrong(c);
        let mut sum = 0.0;
        let mut last = c;
        for (g, p) in others {
            (sum, last) = (sum + p, g);
            if at < sum {
                break;
            }
        }
        last as u32
    }
}

impl Kind for Matrix {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        let (k, rate) = (self.rows.len(), on.rate);
        if k != on.classes {
            let classes = on.classes;
            return Err(Error::Usage(format!("noise.matrix.rows is {k} × {k} and the data has {classes} classes")));
        }
        let present = on.present();
        for &c in &present {
            let to = |g: &usize| self.rows[c as usize][*g] > 0.0 && !present.contains(&(*g as u32));
            if let Some(g) = (0..k).find(to) {
                return Err(Error::Data(format!(
                    "noise.matrix.rows leads from class {c} to class {g}, which has no training images"
                )));
            }
        }
        let own = on.labels.iter().map(|&c| self.wrong(c as usize)).sum::<f64>() / on.labels.len().max(1) as f64;
        if own == 0.0 && rate > 0.0 {
            return Err(Error::Data("noise.matrix.rows makes no label of the classes that have images wrong".into()));
        }
        let factor = if rate > 0.0 { rate / own } else { 0.0 };
        if let Some(&c) = present.iter().find(|&&c| self.wrong(c as usize) * factor > 1.0 + SUM) {
            let most = own / present.iter().map(|&c| self.wrong(c as usize)).fold(0.0, f64::max);
            return Err(Error::Usage(format!(
                "at the noise rate {rate} labels of class {c} would go wrong with a probability above 1; by this matrix the rate is \
                 {most:.3} at most, and {own:.3} where the matrix holds as it stands"
            )));
        }
        let chance = |_, label: u32| self.wrong(label as usize) * factor;
        Ok(on.flipped(chance, |rng, _, label| self.other(rng, label as usize)))
    }

    /// It depends on how many images each class has.
    fn no_signal(&self, _: usize) -> Option<f64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{labels, matrix};
    use super::*;

    fn of(rows: &[&[f64]]) -> Matrix {
        Matrix { rows: rows.iter().map(|r| r.to_vec()).collect() }
    }

    #[test]
    fn the_matrix_holds_at_its_own_rate_and_is_scaled_at_others() {
        let kind = of(&[&[0.9, 0.1, 0.0], &[0.2, 0.5, 0.3], &[0.0, 0.0, 1.0]]);
        let clean = labels(60_000, 3);
        let own = (0.1 + 0.5) / 3.0;
        for factor in [0.5, 1.0, 1.5] {
            let given = kind.corrupt(&Corrupted::of(&clean, 3, own * factor, 5)).unwrap();
            let (found, sigma) = matrix(&clean, &given, 3);
            for (c, (row, rows)) in found.iter().zip(&kind.rows).enumerate() {
                for (g, share) in row.iter().enumerate().filter(|(g, _)| *g != c) {
                    let due = rows[g] * factor;
                    assert!((share - due).abs() < 4.0 * sigma, "{c} to {g}: {share} and not {due}");
                    assert!(due > 0.0 || *share == 0.0);
                }
            }
        }
    }

    #[test]
    fn a_matrix_that_cannot_be_is_refused() {
        let said = |rows: &[&[f64]]| of(rows).check().unwrap_err().1;
        assert!(said(&[&[1.0]]).contains("makes no label wrong"));
        assert!(said(&[&[0.5, 0.5], &[1.0]]).contains("1 values in row 1; it is a square"));
        assert!(said(&[&[0.5, 0.6], &[0.0, 1.0]]).contains("sums to 1.1 in row 0"));
        assert!(said(&[&[1.5, -0.5], &[0.0, 1.0]]).contains("holds 1.5 in row 0"));
        let kind = of(&[&[0.5, 0.5], &[0.0, 1.0]]);
        let e = kind.corrupt(&Corrupted::of(&[0, 1, 2], 3, 0.1, 0)).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("is 2 × 2 and the data has 3 classes"), "{e}");
        let e = kind.corrupt(&Corrupted::of(&[0, 1], 2, 0.6, 0)).unwrap_err().to_string();
        assert!(e.contains("the rate is 0.500 at most, and 0.250 where"), "{e}");
        let e = of(&[&[0.5, 0.0, 0.5], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]]);
        let e = e.corrupt(&Corrupted::of(&[0, 1], 3, 0.1, 0)).unwrap_err();
        assert!(e.exit_code() == 4 && e.to_string().contains("to class 2, which has no training images"), "{e}");
    }
}
