//! Two finished cells of one dataset compared image by image, from their `predictions.npz`.

use super::folder::Done;
use super::names::{DONE, PREDICTIONS, RESULT};
use super::origin::Origin;
use super::predictions::{TestAnswers, read_test};
use super::results::{CellResult, finished_cell};
use super::statistics::{Interval, McNemar, TooFew, mcnemar, paired_accuracy};
use crate::base::nearest::nearest_few;
use crate::base::text::counted;
use crate::base::{Error, Result};
use serde::Serialize;
use std::path::Path;

/// What the comparison says. Shares are 0 to 1, differences those of the first less the second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellComparison {
    /// The dataset of both.
    pub dataset: String,
    /// How many test images they share.
    pub images: usize,
    /// The accuracy of each.
    pub accuracies: [f64; 2],
    /// The difference of the two.
    pub difference: f64,
    /// From where to where it may lie, by a bootstrap over images: 95 %.
    pub interval: [f64; 2],
    /// How many images only the first has right, and only the second.
    pub only: [u64; 2],
    /// p of McNemar's test by the binomial distribution; none where too few images tell them apart.
    pub exact_p: Option<f64>,
    /// p of the same by χ² with the correction for continuity.
    pub chi_square_p: Option<f64>,
    /// Why there is no p.
    pub too_few: Option<String>,
    /// In what differs what ran the two: program, adapter, driver, table of kernels. Part of the difference may be its.
    pub ran_by_different: Vec<String>,
}

/// Compares two finished cells, by their folders.
pub fn compare_cells(first: &Path, second: &Path) -> Result<CellComparison> {
    let ((row, a), (other, b)) = (answers(first)?, answers(second)?);
    let ran_by_different = Origin::of(&row).differences(&Origin::of(&other));
    let (of_first, of_second) = (row.dataset, other.dataset);
    if of_first != of_second || a.names != b.names || a.labels != b.labels {
        return Err(Error::Data(format!(
            "{} ({of_first}) and {} ({of_second}) were tested on different images; compare two cells of one dataset",
            first.display(),
            second.display()
        )));
    }
    let right = |x: &TestAnswers| x.labels.iter().zip(&x.predicted).map(|(l, p)| l == p).collect::<Vec<bool>>();
    let (x, y) = (right(&a), right(&b));
    let share = |of: &[bool]| of.iter().filter(|r| **r).count() as f64 / of.len() as f64;
    let few = |e: TooFew| Error::Data(format!("{}: {e}", first.display()));
    let (difference, Interval { low, high }) = paired_accuracy(&x, &y, 0).map_err(few)?;
    let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count() as u64;
    let test = mcnemar(&x, &y);
    let p = |of: fn(&McNemar) -> f64| test.as_ref().ok().map(of);
    Ok(CellComparison {
        dataset: of_first,
        images: x.len(),
        accuracies: [share(&x), share(&y)],
        difference,
        interval: [low, high],
        only: [only(&x, &y), only(&y, &x)],
        exact_p: p(|m| m.exact_p),
        chi_square_p: p(|m| m.chi_square_p),
        too_few: test.as_ref().err().map(ToString::to_string),
        ran_by_different,
    })
}

/// The row of a finished cell, and what it says of the test images.
fn answers(folder: &Path) -> Result<(CellResult, TestAnswers)> {
    // A folder that is not there has no file either.
    let there = folder.is_dir();
    let done = if there { Done::read(folder)? } else { None };
    let Some(done) = done else {
        let (shown, why) = (
            folder.display(),
            if there { "is no finished cell: it has no file done" } else { "is no finished cell: it is not there" },
        );
        return Err(Error::Data(format!("{shown} {why}; {}", beside(folder))));
    };
    for name in [RESULT, PREDICTIONS] {
        if !done.files.contains_key(name) {
            return Err(Error::Data(format!("{} keeps no {name}, so that it cannot be compared", folder.display())));
        }
    }
    let row = finished_cell(folder, None, |_, _| Ok(()))?;
    let row = row.ok_or_else(|| Error::Data(format!("{} is no finished cell", folder.display())))?;
    Ok((row, read_test(folder, &done)?))
}

/// How many cells an error names, and of how many folders it looks for them.
const NAMED: usize = 3;
const LOOKED_AT: usize = 10_000;

/// The way out where no finished cell is near.
const GIVE: &str = "give the folder of a finished cell, below the runs of a study";

/// Which finished cells may have been meant: those in the folder's `runs` if it is a study, else its neighbours.
fn beside(folder: &Path) -> String {
    let runs = Some(folder.join("runs")).filter(|runs| runs.is_dir());
    let Some(parent) = runs.or_else(|| folder.parent().map(Path::to_path_buf)) else { return GIVE.to_string() };
    let parent = if parent.as_os_str().is_empty() { Path::new(".").to_path_buf() } else { parent };
    let entries = std::fs::read_dir(&parent).into_iter().flatten().flatten().take(LOOKED_AT);
    let done = entries.filter(|e| e.path().join(DONE).is_file());
    let names: Vec<String> = done.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let near = nearest_few(&name, &names.iter().map(String::as_str).collect::<Vec<_>>(), NAMED);
    if near.is_empty() {
        return GIVE.to_string();
    }
    let near: Vec<String> = near.into_iter().map(|name| parent.join(name).display().to_string()).collect();
    format!("the nearest of {} there: {}", counted(names.len(), "finished cell"), near.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::arrays::{Array, npz};
    use crate::study::results::tests::sample;
    use crate::study::results::write_result;
    use crate::study::{Config, cells};

    /// A cell with these answers to test images of class 0, and one to a training image.
    fn write(folder: &Path, dataset: &str, predicted: &[i64]) {
        let mut result = sample(&cells(&Config::parse("t", "").unwrap())[0], 0.5);
        result.dataset = dataset.to_string();
        result.driver = if folder.ends_with("b") { "another".to_string() } else { result.driver };
        write_result(folder, &result).unwrap();
        let all = [&[1], predicted].concat();
        let (labels, n) = (vec![0; all.len()], predicted.len());
        let names: Vec<String> = (0..=n).map(|i| format!("{i}.png")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let splits: Vec<&str> = (0..=n).map(|i| if i == 0 { "train" } else { "test" }).collect();
        let arrays = [
            ("labels", Array::I64(&labels)),
            ("predicted", Array::I64(&all)),
            ("names", Array::Text(&names)),
            ("splits", Array::Text(&splits)),
        ];
        std::fs::write(folder.join(PREDICTIONS), npz(&arrays).unwrap()).unwrap();
        Done::write(folder, "address", &[RESULT, PREDICTIONS]).unwrap();
    }

    #[test]
    fn two_cells_worked_by_hand() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|n| dir.path().join(n));
        write(&a, "isic", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        write(&b, "isic", &[1, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
        let found = compare_cells(&a, &b).unwrap();
        assert_eq!((found.images, found.accuracies, found.only), (10, [0.9, 0.3], [7, 1]));
        assert!((found.difference - 0.6).abs() < 1e-12 && found.interval[0] > 0.0 && found.interval[1] <= 1.0);
        // 2 (1 + 8) / 2⁸, and (|7 − 1| − 1)² / 8 = 3.125.
        assert!((found.exact_p.unwrap() - 18.0 / 256.0).abs() < 1e-12);
        assert!((found.chi_square_p.unwrap() - 0.077_099_871_743).abs() < 1e-9, "{:?}", found.chi_square_p);
        assert_eq!(found.ran_by_different, ["driver: llvmpipe 25.0 and another"]);
        let same = compare_cells(&a, &a).unwrap();
        assert!(same.ran_by_different.is_empty());
        assert_eq!((same.difference, same.exact_p), (0.0, None));
        assert!(
            same.too_few.unwrap().contains("needs at least 6 images that one of the two has right, and there are 0")
        );
        write(&c, "other", &[0; 10]);
        assert!(compare_cells(&a, &c).unwrap_err().to_string().contains("different images"));
        write(&c, "isic", &[0; 9]);
        assert!(compare_cells(&a, &c).unwrap_err().to_string().contains("different images"));
        assert!(compare_cells(&a, dir.path()).unwrap_err().to_string().contains("no finished cell"));
        let slip = compare_cells(&a, &dir.path().join("bb")).unwrap_err().to_string();
        let due = format!(
            "bb is no finished cell: it is not there; the nearest of 3 finished cells there: {}, ",
            b.display()
        );
        assert!(slip.contains(&due), "{slip}");
        std::fs::create_dir_all(dir.path().join("study/runs")).unwrap();
        std::fs::rename(&b, dir.path().join("study/runs/b")).unwrap();
        let study = compare_cells(&a, &dir.path().join("study")).unwrap_err().to_string();
        assert!(study.contains("no finished cell") && study.ends_with("runs/b"), "{study}");
        std::fs::write(c.join(PREDICTIONS), "x").unwrap();
        assert!(compare_cells(&a, &c).unwrap_err().to_string().contains("predictions.npz is damaged"));
    }
}
