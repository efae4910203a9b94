//! Labels that people gave, from a file: each label becomes the file's. Nothing is drawn, and there is no rate to ask for: the
//! share of wrong labels is the file's own, counted when the labels are known. CIFAR-N (Wei et al. 2022, arXiv 2110.12088)
//! is such a set of labels.

use super::{Corrupted, Kind, Source};
use crate::base::Result;
use crate::base::range::{Mistake, mistake};
use crate::nn::listed::{Checked, Entry, read};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const ENTRY: Entry<dyn Kind> = Entry {
    name: "given",
    about: "labels that people gave, from a file or from a column of the manifest; the rate is theirs",
    overlay: include_str!("../../../configs/noise/given.toml"),
    read: |from| read(from, |kind: GivenLabels| Arc::new(kind)),
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenLabels {
    /// The file; empty for the CSV manifest that the dataset is.
    file: String,
    /// Its column or array.
    column: String,
}

impl Checked for GivenLabels {
    fn check(&self) -> Result<(), Mistake> {
        match self.column.trim() {
            "" => mistake("column", "is empty; give the name of the column or array that holds the labels"),
            _ => Ok(()),
        }
    }
}

impl Kind for GivenLabels {
    fn corrupt(&self, on: &Corrupted<'_>) -> Result<Vec<u32>> {
        if on.rate == 0.0 {
            return Ok(on.labels.to_vec());
        }
        on.given().map(<[u32]>::to_vec)
    }

    fn no_signal(&self, _: usize) -> Option<f64> {
        None
    }

    fn source(&self) -> Option<Source<'_>> {
        Some(Source { file: &self.file, column: &self.column })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_the_file() {
        let kind = GivenLabels { file: String::new(), column: "noisy_label".into() };
        let on = Corrupted { given: Some(&[1, 1, 0]), ..Corrupted::of(&[0, 1, 0], 2, 1.0, 7) };
        assert_eq!(kind.corrupt(&on).unwrap(), [1, 1, 0]);
        let e = kind.corrupt(&Corrupted { given: None, ..on }).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("labels that people gave"), "{e}");
        assert!(GivenLabels { file: String::new(), column: " ".into() }.check().is_err());
    }
}
