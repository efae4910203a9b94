//! `predictions.npz`: a run's final predictions for every image, beside the labels, so that another program can compute
//! any measure.

use super::folder::Done;
use super::names::{PREDICTIONS, REDO};
use super::owner::still_mine;
use crate::base::{Error, Result, files};
use crate::data::arrays::{Array, npz};
use crate::data::{Images, Split};
use npyz::Deserialize;
use npyz::npz::NpzArchive;
use std::io::Cursor;
use std::path::Path;

/// The predictions for the images of one split.
pub(super) struct Predicted<'a> {
    pub split: Split,
    pub images: &'a Images,
    /// The labels that were learnt from, or by which epochs were compared. For test images, the true labels.
    pub given: &'a [u32],
    /// A row of logits for each image.
    pub logits: &'a [f32],
    /// The class that each image is assigned to.
    pub taken: Vec<u32>,
    /// The logits of the second network, if there are two networks.
    pub second: Option<&'a [f32]>,
}

/// Writes `folder/predictions.npz`: `logits` f32 [N, classes], `labels`, `given` and `predicted` i64 [N], and the texts
/// `names` and `splits` [N] and `classes`. With two networks there are also `second_logits`. Rows are in the order of
/// `parts`.
pub(super) fn write_predictions(folder: &Path, classes: &[String], parts: &[Predicted<'_>]) -> Result<()> {
    let wide =
        |of: &dyn Fn(&Predicted<'_>) -> Vec<u32>| -> Vec<i64> { parts.iter().flat_map(of).map(i64::from).collect() };
    let labels = wide(&|p| p.images.labels.clone());
    let (given, predicted) = (wide(&|p| p.given.to_vec()), wide(&|p| p.taken.clone()));
    let logits: Vec<f32> = parts.iter().flat_map(|p| p.logits).copied().collect();
    let second: Vec<f32> = parts.iter().filter_map(|p| p.second).flatten().copied().collect();
    let n = labels.len();
    let fits = |values: &[f32]| values.len() == n * classes.len();
    if given.len() != n || predicted.len() != n || !fits(&logits) || !(second.is_empty() || fits(&second)) {
        return Err(Error::Failed(format!(
            "{n} labels, {} given ones, {} predictions and {} logits of {} classes do not fit together",
            given.len(),
            predicted.len(),
            logits.len(),
            classes.len()
        )));
    }
    let names: Vec<&str> = parts.iter().flat_map(|p| &p.images.names).map(String::as_str).collect();
    let splits: Vec<&str> = parts.iter().flat_map(|p| vec![p.split.name(); p.images.len()]).collect();
    let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
    let mut arrays = vec![
        ("logits", Array::F32(&logits, vec![n, classes.len()])),
        ("labels", Array::I64(&labels)),
        ("given", Array::I64(&given)),
        ("predicted", Array::I64(&predicted)),
        ("names", Array::Text(&names)),
        ("splits", Array::Text(&splits)),
        ("classes", Array::Text(&classes)),
    ];
    if !second.is_empty() {
        arrays.push(("second_logits", Array::F32(&second, vec![n, classes.len()])));
    }
    still_mine(folder)?;
    files::write_atomic(&folder.join(PREDICTIONS), &npz(&arrays)?)
}

/// What a finished run says of its test images.
#[derive(Debug)]
pub(super) struct TestAnswers {
    pub names: Vec<String>,
    pub labels: Vec<i64>,
    pub predicted: Vec<i64>,
}

/// Reads the test images of a finished run's `predictions.npz`, which its `done` describes.
pub(super) fn read_test(folder: &Path, done: &Done) -> Result<TestAnswers> {
    let bad = |why: String| Error::damaged(&folder.join(PREDICTIONS), why, REDO);
    let bytes = done.bytes(folder, PREDICTIONS)?;
    let mut archive = NpzArchive::new(Cursor::new(bytes.as_slice())).map_err(|e| bad(e.to_string()))?;
    let (labels, predicted) = (array::<i64>(&mut archive, "labels"), array::<i64>(&mut archive, "predicted"));
    let (splits, names) = (array::<String>(&mut archive, "splits"), array::<String>(&mut archive, "names"));
    let (labels, predicted) = (labels.map_err(bad)?, predicted.map_err(bad)?);
    let (splits, names) = (splits.map_err(bad)?, names.map_err(bad)?);
    if [predicted.len(), splits.len(), names.len()] != [labels.len(); 3] {
        return Err(bad("its arrays are of different lengths".to_string()));
    }
    let test: Vec<usize> = (0..labels.len()).filter(|&i| splits[i] == Split::Test.name()).collect();
    let of = |values: &[i64]| test.iter().map(|&i| values[i]).collect::<Vec<i64>>();
    let names = test.iter().map(|&i| names[i].clone()).collect();
    Ok(TestAnswers { labels: of(&labels), predicted: of(&predicted), names })
}

/// An array of an archive; the middle of a sentence where it has none.
fn array<T: Deserialize>(archive: &mut NpzArchive<Cursor<&[u8]>>, name: &str) -> Result<Vec<T>, String> {
    let found = archive.by_name(name).map_err(|e| e.to_string())?;
    let found = found.ok_or_else(|| format!("it has no array {name}"))?;
    found.into_vec().map_err(|e| format!("its array {name} cannot be read ({e})"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::study::metrics::{argmax, judged};
    use crate::study::results::CellResult;

    /// Arrays of a run's predictions.
    pub struct Read {
        pub logits: Vec<f32>,
        pub labels: Vec<u32>,
        pub given: Vec<u32>,
        pub predicted: Vec<u32>,
        pub splits: Vec<String>,
        pub names: Vec<String>,
        pub second: Option<Vec<f32>>,
    }

    pub fn read(folder: &Path) -> Read {
        let mut archive = NpzArchive::open(folder.join(PREDICTIONS)).unwrap();
        let mut whole = |name: &str| -> Vec<u32> {
            let all = archive.by_name(name).unwrap().unwrap().into_vec::<i64>().unwrap();
            all.into_iter().map(|v| u32::try_from(v).unwrap()).collect()
        };
        let (labels, given, predicted) = (whole("labels"), whole("given"), whole("predicted"));
        let mut texts = |name: &str| archive.by_name(name).unwrap().unwrap().into_vec::<String>().unwrap();
        let (splits, names) = (texts("splits"), texts("names"));
        let logits = archive.by_name("logits").unwrap().unwrap().into_vec::<f32>().unwrap();
        let second = archive.by_name("second_logits").unwrap().map(|s| s.into_vec::<f32>().unwrap());
        Read { logits, labels, given, predicted, splits, names, second }
    }

    /// The saved predictions give the same numbers for the test images, and the same memorised share, as the row of
    /// results.
    pub fn compare(folder: &Path, row: &CellResult) -> Read {
        let saved = read(folder);
        let of = |split: &str| (0..saved.labels.len()).filter(|&i| saved.splits[i] == split).collect::<Vec<_>>();
        let k = row.classes;
        let test = of("test");
        let labels: Vec<u32> = test.iter().map(|&i| saved.labels[i]).collect();
        let taken: Vec<u32> = test.iter().map(|&i| saved.predicted[i]).collect();
        let logits: Vec<f32> = test.iter().flat_map(|&i| &saved.logits[i * k..(i + 1) * k]).copied().collect();
        let due = judged(&taken, &logits, &labels, k).unwrap();
        assert_eq!(
            (row.test_accuracy, row.balanced_accuracy, row.macro_f1),
            (due.accuracy, due.balanced_accuracy, due.macro_f1)
        );
        assert_eq!((row.auroc, row.mcc, row.ece), (due.auroc, Some(due.mcc), due.ece));
        assert_eq!((&row.recall, &row.confusion), (&due.recall, &due.confusion));
        assert_eq!(saved.names.len(), saved.labels.len());
        assert_eq!((test.len(), of("val").len()), (row.test_images, row.val_images));
        let train = of("train");
        if !train.is_empty() {
            assert_eq!(train.len(), row.train_images);
            assert_eq!(saved.predicted, argmax(&saved.logits, k));
            let wrong: Vec<usize> = train.into_iter().filter(|&i| saved.given[i] != saved.labels[i]).collect();
            let share = |right: &dyn Fn(usize) -> bool| {
                (!wrong.is_empty()).then(|| wrong.iter().filter(|&&i| right(i)).count() as f64 / wrong.len() as f64)
            };
            assert_eq!(row.memorised_fraction, share(&|i| saved.predicted[i] == saved.given[i]));
            assert_eq!(row.mislabelled_as_true, share(&|i| saved.predicted[i] == saved.labels[i]));
        }
        assert!(test.iter().all(|&i| saved.given[i] == saved.labels[i]), "test labels are clean");
        saved
    }
}
