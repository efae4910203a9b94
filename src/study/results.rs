//! What a run writes into its folder, and a study gathers: `result.json`, `epochs.jsonl`, `steps.jsonl`, `labels.csv`,
//! the sample pictures, and `results.csv` with a row for each cell. Every file is written whole or not at all. An error
//! on a damaged file names the file.

mod gathering;
mod pictures;
mod pretrained;
mod stamp;
mod steps;
mod table;

pub(super) use gathering::finished_cell;
pub use gathering::{Gathered, gather};
pub(super) use pictures::read_strip;
pub use pictures::{Picture, read_pictures, write_pictures};
pub use pretrained::PretrainResult;
pub(super) use pretrained::{read_collapsed, write_pretrained};
pub(super) use stamp::stamp;
pub(super) use steps::numbers;
pub use steps::{StepRecord, read_steps};
pub use table::write_csv;
pub(super) use table::{read_csv, rows_as_csv, write_rows};

use super::config::{Protocol, ValidationLabels};
use super::folder::Done;
use super::names::{EPOCHS, REDO, RESULT};
use super::owner::still_mine;
use crate::base::{Error, Result, files, seal};
use crate::data::Images;
use crate::nn::Precision;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A finished cell: one row of `results.csv`. Shares are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    /// The dataset's short name.
    pub dataset: String,
    /// The backbone with its settings, as in `resnet18 × 0.5 with the stem 3x3`. Empty in rows that are older than this
    /// field.
    #[serde(default)]
    pub backbone: String,
    /// The pretraining that made the backbone's weights; `none` for random weights, the name of a file of weights.
    pub pretraining: String,
    /// The kind of label noise; `none` at rate 0.
    pub noise_kind: String,
    /// The share of training labels that were to become wrong. For a kind without a rate, the share that is wrong.
    pub noise_rate: f64,
    /// The share of training labels that are wrong.
    pub realised_noise_rate: f64,
    /// The method that learnt from the noisy labels. For a probe, its protocol.
    pub method: String,
    /// What the method was told of the noise: `transition matrix`, `noise rate`, or empty for most methods. Nobody
    /// knows it for labels from elsewhere.
    #[serde(default)]
    pub method_told: String,
    /// How the backbone was judged.
    #[serde(default)]
    pub protocol: Protocol,
    /// The seed of the repeat.
    pub seed: u64,
    /// Accuracy on the clean test images after the last epoch. The numbers from here to `confusion` are measured in the
    /// same way.
    pub test_accuracy: f64,
    /// Mean over classes of the share of images that are right.
    pub balanced_accuracy: f64,
    /// Mean F1 over classes.
    pub macro_f1: f64,
    /// Area under the ROC curve. With more than two classes it is the mean of one class against the rest. `None` if a
    /// class has no test image.
    pub auroc: Option<f64>,
    /// Matthews' correlation coefficient, −1 to 1. It is 0 if all images are of one class or are assigned to one.
    #[serde(default)]
    pub mcc: Option<f64>,
    /// Expected calibration error with 15 bins of equal width.
    #[serde(default)]
    pub ece: Option<f64>,
    /// For each class the share of its images that are right. `None` for a class without test images.
    #[serde(default)]
    pub recall: Vec<Option<f64>>,
    /// How many test images of each class (row) were assigned to each class (column).
    #[serde(default)]
    pub confusion: Vec<Vec<u64>>,
    /// Accuracy on the test images of a vote of the nearest training images, by the backbone's features and with true
    /// labels. `None` if it was not measured.
    pub knn_accuracy: Option<f64>,
    /// The same accuracy with votes that weigh exp(cos / τ).
    #[serde(default)]
    pub knn_weighted_accuracy: Option<f64>,
    /// How many neighbours voted.
    #[serde(default)]
    pub knn_neighbours: Option<usize>,
    /// τ of the weighted vote.
    #[serde(default)]
    pub knn_temperature: Option<f64>,
    /// tr S_b / tr S_w of the training images by their true classes, in the backbone's features, each dimension scaled
    /// to variance 1. It is small if classes are hard to distinguish. The features are those at the end of training.
    /// With the protocols `linear` and `knn` no label has changed them. `None` if no class has any scatter.
    #[serde(default)]
    pub fisher_ratio: Option<f64>,
    /// The same for each two classes, ‖μ_a − μ_b‖² / (s_a² + s_b²). It is small if the two are similar.
    #[serde(default)]
    pub fisher_pairs: Vec<Vec<Option<f64>>>,
    /// The weight decay of a linear classifier. `None` for other protocols.
    #[serde(default)]
    pub linear_weight_decay: Option<f64>,
    /// The best accuracy on the test images after any epoch. Nobody can choose this epoch without test labels. `None`
    /// if it was not measured after each epoch.
    #[serde(default)]
    pub best_test_accuracy: Option<f64>,
    /// The epoch that reached it first, from 1.
    #[serde(default)]
    pub best_test_epoch: Option<usize>,
    /// The elements of activations while the labels were learnt; "f32" in rows that are older than this field.
    #[serde(default)]
    pub precision: Precision,
    /// The best validation accuracy of any epoch.
    pub best_val_accuracy: f64,
    /// The epoch that reached it first, from 1. It is 0, for the initial weights, if no epoch was trained.
    pub best_val_epoch: usize,
    /// Test accuracy after that epoch. `None` if it was not measured.
    pub best_val_test_accuracy: Option<f64>,
    /// Mean test accuracy of the last five epochs. `None` if it was not measured.
    pub last5_test_accuracy: Option<f64>,
    /// For methods with two networks: the second network's accuracy on the test images after the last epoch.
    #[serde(default)]
    pub second_test_accuracy: Option<f64>,
    /// For methods with two networks: the accuracy of the mean of both softmaxes.
    #[serde(default)]
    pub ensemble_test_accuracy: Option<f64>,
    /// Of the training images with a wrong given label, the share that the final model assigns to that label. `None` if
    /// no label is wrong.
    pub memorised_fraction: Option<f64>,
    /// The share of them that it assigns to their true class.
    #[serde(default)]
    pub mislabelled_as_true: Option<f64>,
    /// The share of them that it assigns to a third class.
    #[serde(default)]
    pub mislabelled_as_other: Option<f64>,
    /// For methods that select images: the share of right labels among the images that the first network selected in
    /// the last epoch.
    #[serde(default)]
    pub selection_precision: Option<f64>,
    /// For methods that select images: the share of images with right labels that it selected.
    #[serde(default)]
    pub selection_recall: Option<f64>,
    /// The seed of the noise. `None` for clean labels.
    #[serde(default)]
    pub noise_seed: Option<u64>,
    /// Whether the validation images, by which epochs are compared, have clean labels or labels with the same noise.
    #[serde(default)]
    pub validation_labels: ValidationLabels,
    /// How many training images of each true class (row) were given each label (column).
    #[serde(default)]
    pub noise_matrix: Vec<Vec<u64>>,
    /// For a method that estimates the transition matrix of the noise: that matrix. Empty for others.
    #[serde(default)]
    pub estimated_transition: Vec<Vec<f64>>,
    /// Whether the pretraining that made the initial weights ended with nearly the same features for every image.
    /// `None` for random weights, and if it was not measured.
    #[serde(default)]
    pub pretraining_collapsed: Option<bool>,
    /// How many classes there are.
    pub classes: usize,
    /// How many training images there are.
    pub train_images: usize,
    /// How many validation images there are.
    pub val_images: usize,
    /// How many test images there are.
    pub test_images: usize,
    /// How many training images were left out because they are also test images.
    pub dropped_duplicates: usize,
    /// How many files of the dataset cannot be decoded and were left out. `None` in rows that are older than this
    /// field.
    #[serde(default)]
    pub left_out_files: Option<usize>,
    /// Passes over the training images.
    pub epochs: usize,
    /// Seconds of this cell's own work. A shared pretraining does not count.
    pub seconds: f64,
    /// The device it ran on.
    pub adapter: String,
    /// Its driver. This and the next are empty in rows that are older than these fields and whose `environment.json`
    /// does not say it.
    #[serde(default)]
    pub driver: String,
    /// Vulkan, Metal or DX12.
    #[serde(default)]
    pub backend: String,
    /// The program's version.
    #[serde(default)]
    pub wgslab: String,
    /// The version of results, which counts changes of host code that move results.
    #[serde(default)]
    pub results_version: u32,
    /// The hash of the table of tuned kernels; empty without one.
    #[serde(default)]
    pub kernel_table: String,
    /// The hash of the edited files of `--shaders`; empty without any.
    #[serde(default)]
    pub shaders: String,
    /// The hash of what the cell reads of the config, with its seed.
    #[serde(default)]
    pub config_hash: String,
    /// The hash of what the cell and its pretraining, or the file of its weights, were made from: settings without seeds. Empty in
    /// rows that are older than this field.
    #[serde(default)]
    pub settings_hash: String,
}

/// A stage of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Self-supervised, without labels.
    Pretrain,
    /// Supervised, on the given labels.
    #[default]
    Train,
}

/// One epoch: a line of `epochs.jsonl`. Shares are from 0 to 1. What a phase does not measure is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The stage.
    pub phase: Phase,
    /// The epoch, from 1.
    pub epoch: usize,
    /// Mean loss of its steps.
    pub loss: f64,
    /// Means of the other numbers that the method names: the terms of the loss, and the losses of further turns as
    /// `<turn>.loss`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub terms: BTreeMap<String, f64>,
    /// Learning rate of its last step.
    pub lr: f64,
    /// How many of its steps changed nothing, because a gradient was not finite.
    #[serde(default)]
    pub skipped_steps: usize,
    /// Share of training images that are assigned to their given label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_accuracy: Option<f64>,
    /// Of the training images with a wrong given label, the share that are assigned to that label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_label_memorised: Option<f64>,
    /// Accuracy on the validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
    /// Accuracy on the test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// See [`CellResult::selection_precision`], for this epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection_precision: Option<f64>,
    /// See [`CellResult::selection_recall`], for this epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection_recall: Option<f64>,
    /// After an epoch of pretraining: the standard deviation of unit features over training images, the mean over
    /// dimensions, times √D. It is 1 if directions are spread evenly, and 0 if all images have the same direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_std: Option<f64>,
    /// The effective rank of these features less their mean: how many dimensions they use to the same extent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_rank: Option<f64>,
    /// Whether one of the two is so small that the features say next to nothing about an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapsed: Option<bool>,
    /// Seconds that it took.
    pub seconds: f64,
    /// Training images seen per second.
    pub images_per_s: f64,
}

/// One training image's label: a row of `labels.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelRow {
    /// The image's path, or its place in the dataset.
    pub name: String,
    /// The label that it came with.
    pub clean: u32,
    /// The label that it is trained on.
    pub given: u32,
}

impl LabelRow {
    /// A row for each training image, with its given label.
    pub(super) fn all(train: &Images, given: &[u32]) -> Vec<LabelRow> {
        let labels = train.names.iter().zip(&train.labels).zip(given);
        labels.map(|((name, &clean), &given)| LabelRow { name: name.clone(), clean, given }).collect()
    }
}

/// Writes `folder/result.json`.
pub fn write_result(folder: &Path, result: &CellResult) -> Result<()> {
    let path = folder.join(RESULT);
    let mut text = json(&path, serde_json::to_string_pretty(result))?;
    // JSON has no NaN. It would be written as null, and the file could not be read again.
    if let Err(e) = serde_json::from_str::<CellResult>(&text) {
        return Err(Error::Failed(format!("{}: a result is not a number ({e}); nothing is written", path.display())));
    }
    text.push('\n');
    still_mine(folder)?;
    files::write_atomic(&path, text.as_bytes())
}

/// Reads the result of a finished run, which its `done` describes.
pub(super) fn read_result(folder: &Path, done: &Done) -> Result<CellResult> {
    let bad = |why: String| Error::damaged(&folder.join(RESULT), why, REDO);
    let result: CellResult = serde_json::from_str(&done.text(folder, RESULT)?).map_err(|e| bad(e.to_string()))?;
    result.plausible().map_err(bad)?;
    Ok(result)
}

impl CellResult {
    /// It is an error if a share is not between 0 and 1. No run wrote such a file, even if its checksum is right.
    fn plausible(&self) -> Result<(), String> {
        shares(&[
            ("noise_rate", Some(self.noise_rate)),
            ("realised_noise_rate", Some(self.realised_noise_rate)),
            ("test_accuracy", Some(self.test_accuracy)),
            ("balanced_accuracy", Some(self.balanced_accuracy)),
            ("macro_f1", Some(self.macro_f1)),
            ("auroc", self.auroc),
            ("knn_accuracy", self.knn_accuracy),
            ("knn_weighted_accuracy", self.knn_weighted_accuracy),
            ("best_val_accuracy", Some(self.best_val_accuracy)),
            ("best_val_test_accuracy", self.best_val_test_accuracy),
            ("last5_test_accuracy", self.last5_test_accuracy),
            ("memorised_fraction", self.memorised_fraction),
            ("mislabelled_as_true", self.mislabelled_as_true),
            ("mislabelled_as_other", self.mislabelled_as_other),
            ("ece", self.ece),
            ("best_test_accuracy", self.best_test_accuracy),
            ("second_test_accuracy", self.second_test_accuracy),
            ("ensemble_test_accuracy", self.ensemble_test_accuracy),
            ("selection_precision", self.selection_precision),
            ("selection_recall", self.selection_recall),
        ])?;
        shares(
            &self.estimated_transition.iter().flatten().map(|p| ("estimated_transition", Some(*p))).collect::<Vec<_>>(),
        )?;
        shares(&self.recall.iter().map(|r| ("recall", *r)).collect::<Vec<_>>())?;
        if let Some(mcc) = self.mcc.filter(|m| !(-1.0..=1.0).contains(m)) {
            return Err(format!("mcc is {mcc}, which is no correlation from -1 to 1"));
        }
        seconds(self.seconds)
    }
}

impl EpochRecord {
    /// See [`CellResult::plausible`].
    fn plausible(&self) -> Result<(), String> {
        shares(&[
            ("train_accuracy", self.train_accuracy),
            ("wrong_label_memorised", self.wrong_label_memorised),
            ("val_accuracy", self.val_accuracy),
            ("test_accuracy", self.test_accuracy),
            ("selection_precision", self.selection_precision),
            ("selection_recall", self.selection_recall),
        ])?;
        seconds(self.seconds)
    }
}

fn shares(all: &[(&str, Option<f64>)]) -> Result<(), String> {
    match all.iter().find(|(_, share)| share.is_some_and(|s| !(0.0..=1.0).contains(&s))) {
        Some((name, Some(share))) => Err(format!("{name} is {share}, which is no share from 0 to 1")),
        _ => Ok(()),
    }
}

fn seconds(s: f64) -> Result<(), String> {
    // 3.2e9 s are a century: no run takes longer.
    if (0.0..3.2e9).contains(&s) { Ok(()) } else { Err(format!("seconds is {s}, which no run takes")) }
}

/// Writes `folder/epochs.jsonl`, a line for each record. Each line has its own checksum, because a run that goes on
/// reads the lines again.
pub fn write_epochs(folder: &Path, epochs: &[EpochRecord]) -> Result<()> {
    let path = folder.join(EPOCHS);
    let mut text = String::new();
    for epoch in epochs {
        let line = seal::sealed(epoch).map_err(|e| Error::Failed(format!("cannot write {}: {e}", path.display())))?;
        text.push_str(&serde_json::Value::Object(line).to_string());
        text.push('\n');
    }
    still_mine(folder)?;
    files::write_atomic(&path, text.as_bytes())
}

/// Reads `folder/epochs.jsonl` of a run that is not finished. Each line is compared with its checksum.
pub fn read_epochs(folder: &Path) -> Result<Vec<EpochRecord>> {
    let path = folder.join(EPOCHS);
    let bad = |why: String| Error::damaged(&path, why, REDO);
    parse_epochs(&files::text(&path).map_err(bad)?).map_err(bad)
}

/// Reads the epochs of a finished run, which its `done` describes.
pub(super) fn finished_epochs(folder: &Path, done: &Done) -> Result<Vec<EpochRecord>> {
    parse_epochs(&done.text(folder, EPOCHS)?).map_err(|why| Error::damaged(&folder.join(EPOCHS), why, REDO))
}

fn parse_epochs(text: &str) -> Result<Vec<EpochRecord>, String> {
    let record = |(i, line): (usize, &str)| {
        let record: EpochRecord = seal::parse(line).map_err(|why| format!("line {}: {why}", i + 1))?;
        record.plausible().map_err(|why| format!("line {}: {why}", i + 1))?;
        if record.epoch != i + 1 {
            return Err(format!("line {} is of epoch {}", i + 1, record.epoch));
        }
        Ok(record)
    };
    text.lines().enumerate().map(record).collect()
}

/// Writes labels as CSV: name, clean, given.
pub fn write_labels(path: &Path, rows: &[LabelRow]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.serialize(row)).map_err(|e| table::unwritable(path, &e))?;
    table::write(path, writer)
}

/// Reads labels that [`write_labels`] wrote.
pub fn read_labels(path: &Path) -> Result<Vec<LabelRow>> {
    let bytes = files::read(path)?;
    let rows: csv::Result<Vec<LabelRow>> = csv::Reader::from_reader(bytes.as_slice()).deserialize().collect();
    rows.map_err(|e| Error::Data(format!("{} is no table of labels (name, clean, given): {e}", path.display())))
}

/// The folder of a run in the study's folder `dir`.
pub fn run_folder(dir: &Path, cell: &str) -> PathBuf {
    dir.join("runs").join(cell)
}

fn json(path: &Path, text: serde_json::Result<String>) -> Result<String> {
    text.map_err(|e| Error::Failed(format!("cannot write {}: {e}", path.display())))
}

#[cfg(test)]
pub(super) mod tests;
