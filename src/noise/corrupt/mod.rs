//! Label corruption, one noise kind per file. Whether and where a label flips depends on (seed, sample index) and on which
//! classes have images: not on the order of samples, and the labels wrong at a low rate are wrong, in the same way, at
//! every higher rate.

mod symmetric;

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// The random stream of label noise ("nois" in ASCII), apart from every other stream of a seed.
const STREAM: u32 = 0x6e6f_6973;

/// How labels go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseKind {
    /// Each label flips to any other class with images alike.
    Symmetric,
}

impl NoiseKind {
    /// Every kind, in the order they are listed to people.
    pub const ALL: [NoiseKind; 1] = [NoiseKind::Symmetric];
}

impl std::fmt::Display for NoiseKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NoiseKind::Symmetric => "symmetric",
        })
    }
}

impl std::str::FromStr for NoiseKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        NoiseKind::ALL.into_iter().find(|k| k.to_string() == text).ok_or_else(|| {
            let known: Vec<String> = NoiseKind::ALL.iter().map(NoiseKind::to_string).collect();
            Error::Usage(format!("there is no noise kind {text:?}; use one of: {}", known.join(", ")))
        })
    }
}

/// The labels after noise of `kind`: each of `labels` (0..classes) goes wrong with probability `rate`. No label becomes
/// that of a class which none of `labels` has.
pub fn corrupt(kind: NoiseKind, rate: f64, labels: &[u32], classes: usize, seed: u64) -> Result<Vec<u32>> {
    if !(0.0..=1.0).contains(&rate) {
        return Err(Error::Usage(format!("the noise rate is {rate}; use a share from 0 to 1")));
    }
    if let Some(i) = labels.iter().position(|&y| y as usize >= classes) {
        return Err(Error::Data(format!(
            "label {} of sample {i} is out of range; with {classes} classes labels are 0 to {}",
            labels[i],
            classes.saturating_sub(1)
        )));
    }
    let mut held = vec![false; classes];
    labels.iter().for_each(|&l| held[l as usize] = true);
    let present: Vec<u32> = (0..classes as u32).filter(|&c| held[c as usize]).collect();
    if present.len() < 2 && rate > 0.0 {
        return Err(Error::Data(format!(
            "training images of one class only leave no other for a label to flip to ({classes} in all); use noise rate 0 or \
             another dataset"
        )));
    }
    Ok(match kind {
        NoiseKind::Symmetric => symmetric::corrupt(rate, labels, &present, seed),
    })
}

/// The share of `given` labels that differ from the `clean` ones; 0 of none.
pub fn realised_rate(clean: &[u32], given: &[u32]) -> Result<f64> {
    if clean.len() != given.len() {
        return Err(Error::Failed(format!(
            "{} clean labels cannot be compared with {} given ones; pass one of each per sample",
            clean.len(),
            given.len()
        )));
    }
    let wrong = clean.iter().zip(given).filter(|(c, g)| c != g).count();
    Ok(if clean.is_empty() { 0.0 } else { wrong as f64 / clean.len() as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_as_written() {
        for kind in NoiseKind::ALL {
            assert_eq!(kind.to_string().parse::<NoiseKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert!("gaussian".parse::<NoiseKind>().unwrap_err().to_string().contains("symmetric"));
    }

    #[test]
    fn what_cannot_be_corrupted_is_an_error() {
        assert_eq!(corrupt(NoiseKind::Symmetric, 1.1, &[0], 2, 0).unwrap_err().exit_code(), 2);
        assert_eq!(corrupt(NoiseKind::Symmetric, f64::NAN, &[0], 2, 0).unwrap_err().exit_code(), 2);
        assert_eq!(corrupt(NoiseKind::Symmetric, 0.1, &[0], 1, 0).unwrap_err().exit_code(), 4);
        assert_eq!(corrupt(NoiseKind::Symmetric, 0.1, &[1, 1], 3, 0).unwrap_err().exit_code(), 4);
        assert_eq!(corrupt(NoiseKind::Symmetric, 0.1, &[0, 2], 2, 0).unwrap_err().exit_code(), 4);
        assert_eq!(corrupt(NoiseKind::Symmetric, 0.0, &[0, 0], 1, 0).unwrap(), [0, 0]);
    }

    #[test]
    fn the_realised_rate_counts_differences() {
        assert_eq!(realised_rate(&[0, 1, 2, 3], &[0, 1, 3, 3]).unwrap(), 0.25);
        assert_eq!(realised_rate(&[], &[]).unwrap(), 0.0);
        assert!(realised_rate(&[0], &[]).is_err());
    }
}
