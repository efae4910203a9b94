//! The transition matrix of label noise, which loss correction (Patrini et al. 2017) reads.

use super::Known;
use crate::base::range::{Mistake, mistake};
use crate::base::{Error, Result};
use crate::noise::matrix;
use serde::{Deserialize, Serialize};
use toml::Value;

/// Where the matrix T comes from: T_ij is the probability that the true class i is given as j.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Transition {
    /// Counted from the labels of the run, which knows which are wrong because it made them so: `"known"`.
    Known,
    /// Estimated from what a first network, trained by cross-entropy, says of the training images: `"estimated"`; see
    /// [`estimate`].
    Estimated,
    /// Its rows, as the config has them.
    Rows(Vec<Vec<f64>>),
}

impl TryFrom<Value> for Transition {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let number = |v: Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
        let row = |row: Value| match row {
            Value::Array(row) => row.into_iter().map(number).collect::<Option<Vec<f64>>>(),
            _ => None,
        };
        let rows = match value {
            Value::String(word) if word == "known" => return Ok(Transition::Known),
            Value::String(word) if word == "estimated" => return Ok(Transition::Estimated),
            Value::Array(rows) => rows.into_iter().map(row).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        rows.map(Transition::Rows).ok_or_else(|| {
            "transition is \"known\", \"estimated\" or a matrix, one row for each true class, as in [[0.9, 0.1], [0.2, 0.8]]"
                .to_string()
        })
    }
}

impl From<Transition> for Value {
    fn from(of: Transition) -> Value {
        match of {
            Transition::Known => Value::String("known".to_string()),
            Transition::Estimated => Value::String("estimated".to_string()),
            Transition::Rows(rows) => Value::from(rows),
        }
    }
}

impl Transition {
    /// A mistake where rows are given that are no distributions over as many classes, or the percentile is none.
    pub fn check(&self, estimate_percentile: f64) -> Result<(), Mistake> {
        if !(0.0..=100.0).contains(&estimate_percentile) || estimate_percentile == 0.0 {
            let what = format!("is {estimate_percentile}; use a number above 0, at most 100");
            return mistake("estimate_percentile", what);
        }
        let Transition::Rows(rows) = self else { return Ok(()) };
        let n = rows.len();
        let wrong = |row: &Vec<f64>| {
            row.len() != n
                || row.iter().any(|v| !(0.0..=1.0).contains(v))
                || (row.iter().sum::<f64>() - 1.0).abs() > 1e-6
        };
        match rows.iter().position(wrong) {
            Some(i) => {
                let what = format!("has a row {i} that is not {n} shares from 0 to 1 whose sum is 1");
                mistake("transition", format!("{what}; give as many rows as columns, each a distribution"))
            }
            None if n == 0 => mistake("transition", "has no row; give one for each class, or \"known\""),
            None => Ok(()),
        }
    }

    /// What a method that takes it is told.
    pub fn told(&self) -> &'static str {
        if *self == Transition::Known { "transition matrix" } else { "" }
    }

    /// The matrix of a run of `method`, row by row.
    pub fn of(&self, method: &str, known: &Known<'_>) -> Result<Vec<f64>> {
        match self {
            Transition::Known => Ok(known.transition.clone()),
            Transition::Estimated => known.estimated.clone().ok_or_else(|| {
                Error::Failed(format!("training.{method} was given no estimate of the transition matrix"))
            }),
            Transition::Rows(rows) if rows.len() == known.classes => Ok(rows.concat()),
            Transition::Rows(rows) => Err(Error::Usage(format!(
                "training.{method}.transition has {} rows and the data {} classes; give one row for each class, or \"known\"",
                rows.len(),
                known.classes
            ))),
        }
    }
}

/// The transition matrix as Patrini et al. 2017 estimate it (eq. 12 and 13), row by row: row i holds the probabilities of the
/// image that is most likely of class i, an anchor point. As in the authors' experiments, images are left out as outliers
/// whose probability of i reaches the `percentile` of all of them (NumPy's `percentile` with the method "higher"); at 100 none
/// is. `probabilities` holds a row of `classes` for each training image, by a network that learnt the given labels. Of
/// equally likely images it is the first. The authors' code sets the outliers' probabilities to 0 in place, so that a later
/// row may hold such a 0; here all rows are what the network said.
pub fn estimate(probabilities: &[f64], classes: usize, percentile: f64) -> Vec<f64> {
    let images = probabilities.len() / classes.max(1);
    let anchor = |class: usize| {
        let of = |image: usize| probabilities[image * classes + class];
        let mut sorted: Vec<f64> = (0..images).map(of).collect();
        sorted.sort_by(f64::total_cmp);
        let place = (images.saturating_sub(1) as f64 * (percentile / 100.0)).ceil() as usize;
        let threshold = sorted.get(place).copied().filter(|_| percentile < 100.0).unwrap_or(f64::INFINITY);
        let kept = |image: usize| if of(image) >= threshold { 0.0 } else { of(image) };
        (1..images).fold(0, |best, image| if kept(image) > kept(best) { image } else { best })
    };
    (0..classes)
        .filter(|_| images > 0)
        .map(anchor)
        .flat_map(|i| probabilities[i * classes..(i + 1) * classes].to_vec())
        .collect()
}

/// The inverse of a transition matrix, row by row. An error where it has none.
pub(super) fn inverse(matrix: &[f64], classes: usize) -> Result<Vec<f64>> {
    matrix::inverse(matrix, classes).ok_or_else(|| {
        Error::Usage(
            "the transition matrix has no inverse, so that training.backward cannot undo it: two classes are given \
             labels alike; use training.methods = [\"forward\"], a lower noise rate or another matrix"
                .into(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Transition, String> {
        let table: toml::Table = text.parse().unwrap();
        table["transition"].clone().try_into().map_err(|e: toml::de::Error| e.message().to_string())
    }

    #[test]
    fn a_matrix_is_a_word_or_its_rows() {
        assert_eq!(read("transition = \"known\"").unwrap(), Transition::Known);
        let rows = read("transition = [[0.75, 0.25], [0, 1]]").unwrap();
        assert_eq!(rows, Transition::Rows(vec![vec![0.75, 0.25], vec![0.0, 1.0]]));
        assert_eq!(Transition::try_from(Value::from(rows.clone())).unwrap(), rows);
        assert!(rows.check(97.0).is_ok());
        assert_eq!(Transition::try_from(Value::from(Transition::Estimated)), Ok(Transition::Estimated));
        for wrong in ["\"guessed\"", "3", "[1, 2]", "[[\"a\"]]"] {
            assert!(
                read(&format!("transition = {wrong}")).unwrap_err().contains("\"known\", \"estimated\" or a matrix"),
                "{wrong}"
            );
        }
        for wrong in ["[]", "[[1.0, 0.0]]", "[[0.5, 0.4], [0.0, 1.0]]", "[[1.5, -0.5], [0.0, 1.0]]"] {
            assert!(read(&format!("transition = {wrong}")).unwrap().check(97.0).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_matrix_of_other_classes_is_refused_and_so_is_one_without_an_inverse() {
        let known = Known::of(&[0, 1, 2], &[0, 1, 2], 3).unwrap();
        let rows = read("transition = [[0.75, 0.25], [0, 1]]").unwrap();
        let e = rows.of("forward", &known).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("2 rows and the data 3 classes"), "{e}");
        let e = inverse(&[0.5; 4], 2).unwrap_err().to_string();
        assert!(e.contains("no inverse") && e.contains("forward"), "{e}");
    }

    /// Probabilities whose matrix NumPy found; see kernels-tests/golden/measures.py.
    #[test]
    fn estimates_are_those_of_numpy() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels-tests/golden/measures.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let of = |name: &str| bytemuck::pod_collect_to_vec::<u8, f64>(file.tensor(name).unwrap().data());
        let p = of("estimate/probabilities");
        let found = [100.0, 97.0, 60.0].map(|q| estimate(&p, 4, q));
        for (found, q) in found.iter().zip([100, 97, 60]) {
            assert_eq!(*found, of(&format!("estimate/{q}")), "{q}");
        }
        assert!(found[0] != found[1] && found[1] != found[2], "outliers are told");
        assert_eq!(estimate(&[], 3, 97.0), [0.0; 0]);
        assert_eq!(estimate(&[0.7, 0.3], 2, 97.0), [0.7, 0.3, 0.7, 0.3], "one image is every class's");
    }
}
