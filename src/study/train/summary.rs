//! The results of a training: its row of results, and its predictions.

use super::labelled::Outputs;
use super::{Labelled, Ready};
use crate::base::{Error, Result};
use crate::data::Split;
use crate::study::grid::Cell;
use crate::study::measured::{Measured, Mislabelled};
use crate::study::metrics::{argmax, metrics, of_mean};
use crate::study::neighbours::knn;
use crate::study::predictions::{Predicted, write_predictions};
use crate::study::projection::Projection;
use crate::study::results::{CellResult, EpochRecord};
use crate::study::separability::Separability;
use crate::study::statistics::mean_last;
use std::path::Path;

/// How many epochs at the end are averaged, as in LNMBench.
const LAST: usize = 5;

/// Measures a training after its last epoch, and writes `predictions.npz`.
pub(super) fn summarize(
    ready: &Ready<'_>,
    cell: &Cell,
    folder: &Path,
    (epochs, seconds): (&[EpochRecord], f64),
) -> Result<CellResult> {
    let task = &ready.task;
    let (job, data, classes) = (task.job, &task.set.data, task.classes());
    let [train, ..] = &task.first;
    let (Outputs { val, test, test_features }, [train, train_features]) = (task.last_outputs()?, train.both(job)?);
    let logits = [train, val, test];
    let second = task.second.as_ref().map(|passes| all(task, passes)).transpose()?;
    let tested = metrics(&logits[2], &data.test.labels, classes)?;
    let taken = argmax(&logits[0], classes);
    // Neighbours vote with true labels. This measures the features, whatever labels the classifier learnt from.
    let labels = (&data.train.labels[..], &data.test.labels[..]);
    let neighbours = knn(job, (&train_features, labels.0), (&test_features, labels.1), ready.features)?;
    let separability = Separability::of(&train_features, ready.features, labels.0, classes)?;
    let mislabelled = Mislabelled::of(&taken, &task.given.train, &data.train.labels);
    predict(task, folder, &logits, second.as_ref())?;
    Projection::of(&test_features, ready.features, data).write(folder, job.progress)?;
    let (given, made_by) = (&task.given.train[..], &ready.made_by[..]);
    let row = Measured { cell, set: task.set, given, made_by, test: &tested, mislabelled, neighbours, separability }
        .row(job)?;
    // If no epoch was trained, the initial weights count as the best.
    let initial = (0, metrics(&logits[1], &task.given.val, classes)?.accuracy);
    let by_val = best(epochs, |e| e.val_accuracy)?.unwrap_or(initial);
    let by_test = best(epochs, |e| e.test_accuracy)?.unwrap_or((0, tested.accuracy));
    let tests: Vec<f64> = epochs.iter().filter_map(|e| e.test_accuracy).collect();
    let of_test = |networks: &[&[f32]]| of_mean(networks, &data.test.labels, classes);
    let second = second.as_ref().map(|s| &s[2][..]);
    Ok(CellResult {
        // The learner of the config, since an informed learner holds numbers in place of the names of what it was told.
        method_told: job.config.learning_of(&cell.method)?.learner.told().to_string(),
        best_test_accuracy: Some(by_test.1),
        best_test_epoch: Some(by_test.0),
        best_val_accuracy: by_val.1,
        best_val_epoch: by_val.0,
        precision: ready.learning.optimization.precision,
        best_val_test_accuracy: Some(if by_val.0 == 0 { tested.accuracy } else { tests[by_val.0 - 1] }),
        last5_test_accuracy: (!tests.is_empty()).then(|| mean_last(&tests, LAST)),
        second_test_accuracy: second.map(|s| of_test(&[s])).transpose()?,
        ensemble_test_accuracy: second.map(|s| of_test(&[&logits[2], s])).transpose()?,
        selection_precision: epochs.last().and_then(|e| e.selection_precision),
        selection_recall: epochs.last().and_then(|e| e.selection_recall),
        pretraining_collapsed: ready.collapsed,
        estimated_transition: ready
            .estimate
            .matrix
            .iter()
            .flat_map(|m| m.chunks(classes))
            .map(<[f64]>::to_vec)
            .collect(),
        epochs: epochs.len(),
        seconds: seconds + ready.estimate.seconds,
        ..row
    })
}

/// The logits of all three splits.
fn all(task: &Labelled<'_>, passes: &[super::Pass; 3]) -> Result<[Vec<f32>; 3]> {
    let [train, val, test] = passes;
    Ok([train.logits(task.job)?, val.logits(task.job)?, test.logits(task.job)?])
}

/// The first epoch, from 1, with the largest value, and that value. `None` without epochs. It is an error if an epoch
/// lacks the value.
fn best(epochs: &[EpochRecord], of: impl Fn(&EpochRecord) -> Option<f64>) -> Result<Option<(usize, f64)>> {
    let mut found: Option<(usize, f64)> = None;
    for e in epochs {
        let value = of(e).ok_or_else(|| {
            Error::Usage(format!(
                "epoch {} was trained by a version of wgslab that did not measure every epoch; delete the folder to start anew",
                e.epoch
            ))
        })?;
        if found.is_none_or(|(_, most)| value > most) {
            found = Some((e.epoch, value));
        }
    }
    Ok(found)
}

fn predict(
    task: &Labelled<'_>,
    folder: &Path,
    [train, val, test]: &[Vec<f32>; 3],
    second: Option<&[Vec<f32>; 3]>,
) -> Result<()> {
    let (data, classes) = (&task.set.data, task.classes());
    let part = |split: Split, given, logits| {
        let (taken, second) = (argmax(logits, classes), second.map(|s| &s[split as usize][..]));
        Predicted { split, images: data.part(split), given, logits, taken, second }
    };
    let parts = [
        part(Split::Train, &task.given.train[..], &train[..]),
        part(Split::Val, &task.given.val[..], &val[..]),
        part(Split::Test, &data.test.labels[..], &test[..]),
    ];
    write_predictions(folder, &data.classes, &parts)
}
