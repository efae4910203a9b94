//! What a run knows of its labels before the first step.

use crate::base::{ConfusionMatrix, Result};
use crate::noise::realised_rate;

/// The given labels, and what a run that made the noise itself knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known<'a> {
    /// The given label of each training image.
    pub given: &'a [u32],
    /// Classes.
    pub classes: usize,
    /// The share of given labels that are wrong.
    pub noise_rate: f64,
    /// The transition matrix [classes, classes], row by row: of the labels that are truly a row's class, the share that was
    /// given as each column's. A class without images keeps its label.
    pub transition: Vec<f64>,
    /// The same as a first network estimates it, of learners that ask for it ([`Learner::estimates`](super::Learner)).
    pub estimated: Option<Vec<f64>>,
}

impl<'a> Known<'a> {
    /// What `given` labels say beside the `clean` ones, both below `classes`.
    pub fn of(clean: &[u32], given: &'a [u32], classes: usize) -> Result<Self> {
        let counts = ConfusionMatrix::new(classes, clean, given)?;
        let share = |(true_class, row): (usize, Vec<u64>)| {
            let images = counts.truth_total(true_class);
            let of = move |(as_class, n): (usize, u64)| match images {
                0 => f64::from(u8::from(true_class == as_class)),
                _ => n as f64 / images as f64,
            };
            row.into_iter().enumerate().map(of).collect::<Vec<_>>()
        };
        let transition = counts.rows().into_iter().enumerate().flat_map(share).collect();
        Ok(Known { given, classes, noise_rate: realised_rate(clean, given)?, transition, estimated: None })
    }

    /// How many images are given each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        self.given.iter().for_each(|&g| counts[g as usize] += 1);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::Known;

    #[test]
    fn rate_and_matrix_are_counted() {
        let known = Known::of(&[0, 0, 0, 0, 1, 1], &[0, 0, 0, 2, 1, 0], 4).unwrap();
        assert_eq!(known.noise_rate, 2.0 / 6.0);
        let due = [[0.75, 0.0, 0.25, 0.0], [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
        assert_eq!(known.transition, due.concat());
        assert_eq!(known.counts(), [4, 1, 1, 0]);
        assert!(Known::of(&[0], &[0, 1], 2).is_err() && Known::of(&[0], &[2], 2).is_err());
    }
}
