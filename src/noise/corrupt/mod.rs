//! Label corruption, one noise kind per file. Whether and where a label flips is drawn by (seed, sample index). Of the other
//! samples, every kind looks at which classes have images, and some look at more: `matrix` at the share of each class,
//! `class_dependent` without given groups at all images, and `instance_dependent` at the mean and the variance of all images.
//! A label that is wrong at a low rate is wrong in the same way at every higher rate.

mod class;
mod listed;
mod sample;
mod space;
#[cfg(test)]
mod testing;

pub use listed::NoiseKind;
pub use sample::{Corrupted, Features, Pixels, Shown};
pub use space::fisher;

use crate::base::{Error, Result};
use crate::nn::listed::{Checked, Entry};
use std::sync::Arc;

/// The random stream of label noise ("nois" in ASCII). No other stream of a seed has this number.
const STREAM: u32 = 0x6e6f_6973;

/// Declares the file of each line and lists its `ENTRY`. The first line is the default of the command line.
macro_rules! kinds {
    ($($(#[$when:meta])? $kind:ident,)*) => {
        $($(#[$when])? mod $kind;)*
        const KINDS: &[&Entry<dyn Kind>] = &[$($(#[$when])? &$kind::ENTRY),*];
    };
}

// The only list of the names of the kinds. Config check, command line, grid, report and tests read it.
kinds! {
    symmetric,
    symmetric_including_true,
    pair_flip,
    asymmetric,
    matrix,
    class_dependent,
    instance_dependent,
    given,
    #[cfg(test)]
    bright,
    #[cfg(test)]
    by_feature,
}

/// A way in which labels go wrong. The type that implements it holds the settings of its table, `[noise.KIND]`.
pub trait Kind: Checked + Send + Sync {
    /// The labels after noise, one for each of `on.labels`. [`Made::corrupt`] has already checked `on`.
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>>;

    /// The rate at which the labels of `classes` classes say nothing about the true classes. None if there is no such
    /// rate.
    fn no_signal(&self, classes: usize) -> Option<f64>;

    /// Whether it looks at the images. No other kind is given their pixels.
    fn reads_pixels(&self) -> bool {
        false
    }

    /// The file that its labels come from. Such a kind has no rate: at any above 0 its labels are the file's.
    fn source(&self) -> Option<Source<'_>> {
        None
    }
}

/// Where labels that people gave stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// The name of a file; empty for the CSV manifest that the dataset is.
    pub file: &'a str,
    /// The column or array that holds them.
    pub column: &'a str,
}

/// A kind with its settings, which are within their ranges.
pub struct Made(Arc<dyn Kind>);

impl Made {
    /// See [`Kind::no_signal`].
    pub fn no_signal(&self, classes: usize) -> Option<f64> {
        self.0.no_signal(classes)
    }

    /// See [`Kind::reads_pixels`].
    pub fn reads_pixels(&self) -> bool {
        self.0.reads_pixels()
    }

    /// See [`Kind::source`].
    pub fn source(&self) -> Option<Source<'_>> {
        self.0.source()
    }

    /// The labels after noise. At rate 0 every kind keeps every label. Wrong labels for images of only one class are
    /// refused, because no kind could make them.
    pub fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        on.check()?;
        let given = self.0.corrupt(on)?;
        let wrong = given.iter().position(|&l| l as usize >= on.classes);
        match wrong {
            _ if given.len() != on.labels.len() => {
                let (made, due) = (given.len(), on.labels.len());
                Err(Error::Failed(format!("the noise kind made {made} labels of {due}; it must make one of each")))
            }
            Some(i) => {
                let (label, last) = (given[i], on.classes - 1);
                Err(Error::Failed(format!(
                    "the noise kind gave sample {i} the label {label}; the classes are 0 to {last}"
                )))
            }
            None => Ok(given),
        }
    }
}

/// The share of `given` labels that differ from the `clean` ones. It is 0 if there are none.
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

    /// The kind for three classes, with its defaults where there are such.
    fn of_defaults(kind: NoiseKind) -> Made {
        let overlay: toml::Table = kind.entry().overlay.parse().unwrap();
        let mut settings = overlay["noise"][kind.name()].as_table().unwrap().clone();
        if kind.name() == "matrix" {
            let row = |c: usize| toml::Value::from(Vec::from([0, 1, 2].map(|g| if c == g { 0.4 } else { 0.3 })));
            settings.insert("rows".into(), toml::Value::from(vec![row(0), row(1), row(2)]));
        }
        if kind.name() == "asymmetric" {
            settings.insert("map".into(), toml::Value::from(vec![vec![0, 1], vec![1, 0]]));
        }
        kind.make(&settings).unwrap()
    }

    fn symmetric(rate: f64, labels: &[u32], classes: usize) -> Result<Vec<u32>> {
        let kind: NoiseKind = "symmetric".parse().unwrap();
        of_defaults(kind).corrupt(&Corrupted::of(labels, classes, rate, 0))
    }

    #[test]
    fn what_cannot_be_corrupted_is_an_error() {
        assert_eq!(symmetric(1.1, &[0], 2).unwrap_err().exit_code(), 2);
        assert_eq!(symmetric(f64::NAN, &[0], 2).unwrap_err().exit_code(), 2);
        assert_eq!(symmetric(0.1, &[0], 1).unwrap_err().exit_code(), 4);
        assert_eq!(symmetric(0.1, &[1, 1], 3).unwrap_err().exit_code(), 4);
        assert_eq!(symmetric(0.1, &[0, 2], 2).unwrap_err().exit_code(), 4);
        assert_eq!(symmetric(0.0, &[0, 0], 1).unwrap(), [0, 0]);
    }

    /// What every kind must keep, whatever it reads. It gets features, pixels and annotations.
    #[test]
    fn every_kind_keeps_clean_labels_and_repeats_itself() {
        let labels: Vec<u32> = (0..300).map(|i| i % 3).collect();
        let bytes: Vec<u8> = (0..300u32).map(|i| (i * 37 % 256) as u8).collect();
        let values: Vec<f32> = bytes.iter().map(|&b| f32::from(b)).collect();
        let annotator: Vec<u32> = labels.iter().map(|l| (l + 1) % 3).collect();
        for kind in NoiseKind::all() {
            let made = of_defaults(kind);
            let at = |rate: f64, seed: u64| {
                let on = Corrupted {
                    pixels: Some(Pixels { bytes: &bytes, shape: [1, 1, 1] }),
                    features: Some(Features { values: &values, width: 1 }),
                    given: Some(&annotator),
                    ..Corrupted::of(&labels, 3, rate, seed)
                };
                made.corrupt(&on).unwrap()
            };
            assert_eq!(at(0.0, 1), labels, "{kind}");
            assert_eq!(at(0.4, 1), at(0.4, 1), "{kind}");
            assert!(realised_rate(&labels, &at(0.4, 1)).unwrap() > 0.0, "{kind}");
            let (low, high) = (at(0.2, 1), at(0.6, 1));
            assert_eq!(kind.has_rate(), made.source().is_none(), "{kind}");
            let kept = (0..300).all(|i| low[i] == labels[i] || low[i] == high[i]);
            assert!(kept, "{kind}: what is wrong at 20 % must be wrong in the same way at 60 %");
        }
    }

    #[test]
    fn what_a_kind_needs_and_does_not_get_is_named() {
        let labels = [0, 1, 0, 1];
        let bytes = vec![9, 200, 30, 40];
        let kind: NoiseKind = "bright".parse().unwrap();
        let made = of_defaults(kind);
        let e = made.corrupt(&Corrupted::of(&labels, 2, 1.0, 0)).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("pixels"), "{e}");
        let (bytes, three) = (&bytes, &bytes[1..].to_vec());
        let on = Corrupted { pixels: Some(Pixels { bytes, shape: [1, 1, 1] }), ..Corrupted::of(&labels, 2, 1.0, 0) };
        assert_eq!(made.corrupt(&on).unwrap(), [0, 0, 0, 1], "only the image that is brighter than 128 may change");
        let e = made.corrupt(&Corrupted { pixels: Some(Pixels { bytes: three, shape: [1, 1, 1] }), ..on }).unwrap_err();
        assert!(e.to_string().contains("3 bytes of pixels do not make 4 images"), "{e}");
    }

    #[test]
    fn the_realised_rate_counts_differences() {
        assert_eq!(realised_rate(&[0, 1, 2, 3], &[0, 1, 3, 3]).unwrap(), 0.25);
        assert_eq!(realised_rate(&[], &[]).unwrap(), 0.0);
        assert!(realised_rate(&[0], &[]).is_err());
    }
}
