//! What a run leaves in its folder and a study gathers: `result.json`, `epochs.jsonl`, `labels.csv`, the sample
//! pictures, and `results.csv`, a row per cell. Every file is written whole or not at all; a damaged one names itself.

use super::config::Config;
use super::grid::cells;
use crate::base::{Error, Result, files};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// A finished cell: one row of `results.csv`. Shares are 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    /// The dataset's short name.
    pub dataset: String,
    /// Where the backbone's weights came from: `none` is random.
    pub pretraining: String,
    /// How labels went wrong; `none` at rate 0.
    pub noise_kind: String,
    /// The share of training labels meant to flip.
    pub noise_rate: f64,
    /// The share that did.
    pub realised_noise_rate: f64,
    /// How the noisy labels were learned from.
    pub method: String,
    /// The repeat.
    pub seed: u64,
    /// Accuracy on the clean test images after the last epoch, as are the next three.
    pub test_accuracy: f64,
    /// Mean share right over classes.
    pub balanced_accuracy: f64,
    /// Mean F1 over classes.
    pub macro_f1: f64,
    /// Mean area under the one-against-rest ROC curves; none where no class has a curve.
    pub auroc: Option<f64>,
    /// Accuracy on the test images of a vote of the nearest training images by the backbone's features, with true labels;
    /// none where it was not measured.
    pub knn_accuracy: Option<f64>,
    /// The best validation accuracy of any epoch.
    pub best_val_accuracy: f64,
    /// The epoch that reached it first, from 1.
    pub best_val_epoch: usize,
    /// Test accuracy after that epoch; none where it was not measured.
    pub best_val_test_accuracy: Option<f64>,
    /// Mean test accuracy of the last five epochs; none where it was not measured.
    pub last5_test_accuracy: Option<f64>,
    /// Of the training images with a wrong given label, the share the final model takes for that label; none without.
    pub memorised_fraction: Option<f64>,
    /// How many classes.
    pub classes: usize,
    /// Images trained on.
    pub train_images: usize,
    /// Images validated on.
    pub val_images: usize,
    /// Images tested on.
    pub test_images: usize,
    /// Training images left out because they are also test images.
    pub dropped_duplicates: usize,
    /// Passes over the training images.
    pub epochs: usize,
    /// Seconds of this cell's own work (a shared pretraining is not in it).
    pub seconds: f64,
    /// The device it ran on.
    pub adapter: String,
}

/// A stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Self-supervised, without labels.
    Pretrain,
    /// Supervised, on the given labels.
    Train,
}

/// One epoch: a line of `epochs.jsonl`. Shares are 0 to 1; what a phase does not measure is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The stage.
    pub phase: Phase,
    /// From 1.
    pub epoch: usize,
    /// Mean loss of its steps.
    pub loss: f64,
    /// Learning rate of its last step.
    pub lr: f64,
    /// How many of its steps changed nothing, because a gradient was not finite.
    #[serde(default)]
    pub skipped_steps: usize,
    /// Share of training images taken for their given label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_accuracy: Option<f64>,
    /// Of the training images with a wrong given label, the share taken for that label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_label_memorised: Option<f64>,
    /// Accuracy on the validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
    /// How long it took.
    pub seconds: f64,
    /// Training images seen per second.
    pub images_per_s: f64,
}

/// One training image's label: a row of `labels.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelRow {
    /// Its path, or its index in the dataset.
    pub name: String,
    /// The label it came with.
    pub clean: u32,
    /// The label it is trained on.
    pub given: u32,
}

/// A sample image of the report, with its labels in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The encoded image.
    pub png: Vec<u8>,
    /// The class it came with.
    pub clean: String,
    /// The class it is trained on.
    pub given: String,
}

/// Writes `folder/result.json`.
pub fn write_result(folder: &Path, result: &CellResult) -> Result<()> {
    let path = folder.join("result.json");
    let mut text = json(&path, serde_json::to_string_pretty(result))?;
    // JSON has no NaN: it would come out as null, and the file could not be read again.
    if let Err(e) = serde_json::from_str::<CellResult>(&text) {
        return Err(Error::Failed(format!("{}: a result is not a number ({e}); nothing is written", path.display())));
    }
    text.push('\n');
    files::write_atomic(&path, text.as_bytes())
}

/// Reads `folder/result.json`.
pub fn read_result(folder: &Path) -> Result<CellResult> {
    let path = folder.join("result.json");
    read_json(&path, &files::read_text(&path)?)
}

/// Writes `folder/epochs.jsonl`, a line per record.
pub fn write_epochs(folder: &Path, epochs: &[EpochRecord]) -> Result<()> {
    let path = folder.join("epochs.jsonl");
    let mut text = String::new();
    for epoch in epochs {
        text.push_str(&json(&path, serde_json::to_string(epoch))?);
        text.push('\n');
    }
    files::write_atomic(&path, text.as_bytes())
}

/// Reads `folder/epochs.jsonl`; no file is no records.
pub fn read_epochs(folder: &Path) -> Result<Vec<EpochRecord>> {
    let path = folder.join("epochs.jsonl");
    let Some(text) = files::read_text_if_there(&path)? else { return Ok(Vec::new()) };
    let record = |(i, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|e| Error::Data(format!("{}:{}: not an epoch's record: {e}", path.display(), i + 1)))
    };
    text.lines().enumerate().map(record).collect()
}

/// Writes labels as CSV: name, clean, given.
pub fn write_labels(path: &Path, rows: &[LabelRow]) -> Result<()> {
    write_rows(path, rows)
}

/// Reads labels written by [`write_labels`].
pub fn read_labels(path: &Path) -> Result<Vec<LabelRow>> {
    let bytes = files::read(path)?;
    let rows: csv::Result<Vec<LabelRow>> = csv::Reader::from_reader(bytes.as_slice()).deserialize().collect();
    rows.map_err(|e| Error::Data(format!("{} is no table of labels (name, clean, given): {e}", path.display())))
}

/// Writes `dataset`'s sample pictures into the study's folder `dir`.
pub fn write_pictures(dir: &Path, dataset: &str, pictures: &[Picture]) -> Result<()> {
    let folder = dir.join("pictures").join(dataset);
    for (i, picture) in pictures.iter().enumerate() {
        files::write_atomic(&folder.join(format!("{i:02}.png")), &picture.png)?;
    }
    let path = folder.join("labels.json");
    let labels: Vec<(&str, &str)> = pictures.iter().map(|p| (p.clean.as_str(), p.given.as_str())).collect();
    files::write_atomic(&path, json(&path, serde_json::to_string(&labels))?.as_bytes())
}

/// Reads `dataset`'s sample pictures; none where none were written.
pub fn read_pictures(dir: &Path, dataset: &str) -> Result<Vec<Picture>> {
    let folder = dir.join("pictures").join(dataset);
    let path = folder.join("labels.json");
    let Some(text) = files::read_text_if_there(&path)? else { return Ok(Vec::new()) };
    let labels: Vec<(String, String)> = read_json(&path, &text)?;
    let picture =
        |(i, (clean, given))| Ok(Picture { png: files::read(&folder.join(format!("{i:02}.png")))?, clean, given });
    labels.into_iter().enumerate().map(picture).collect()
}

/// A run's folder in the study's folder `dir`.
pub fn run_folder(dir: &Path, cell: &str) -> PathBuf {
    dir.join("runs").join(cell)
}

/// The finished cells of the study in `dir`, as (folder name, result): in the grid's order where its `config.toml`
/// lists them, others after that by name.
pub fn gather(dir: &Path) -> Result<Vec<(String, CellResult)>> {
    let runs = dir.join("runs");
    if !files::exists(&runs)? {
        let what =
            "is no study, or one without a cell yet: it has no folder runs; give the --out of `wgslab study run`";
        return Err(Error::Data(format!("{} {what}", dir.display())));
    }
    let entries = std::fs::read_dir(&runs).map_err(|e| Error::io(&runs, "list", e))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io(&runs, "list", e))?;
        if files::exists(&entry.path().join("result.json"))? {
            found.push((entry.file_name().to_string_lossy().into_owned(), read_result(&entry.path())?));
        }
    }
    if found.is_empty() {
        return Err(Error::Data(format!("{} holds no finished cell; run the study first", dir.display())));
    }
    let config = dir.join("config.toml");
    let grid = if files::exists(&config)? { cells(&Config::load(&config)?) } else { Vec::new() };
    let place = |name: &str| grid.iter().position(|c| c.name == name).unwrap_or(usize::MAX);
    found.sort_by_cached_key(|(name, _)| (place(name), name.clone()));
    Ok(found)
}

/// Gathers the study in `dir` into `results.csv`, and says where that is.
pub fn write_csv(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("results.csv");
    let rows: Vec<CellResult> = gather(dir)?.into_iter().map(|(_, result)| result).collect();
    write_rows(&path, &rows)?;
    Ok(path)
}

fn write_rows<T: Serialize>(path: &Path, rows: &[T]) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("cannot write {}: {e}", path.display()));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|e| failed(&e))?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    files::write_atomic(path, &bytes)
}

fn json(path: &Path, text: serde_json::Result<String>) -> Result<String> {
    text.map_err(|e| Error::Failed(format!("cannot write {}: {e}", path.display())))
}

fn read_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::Data(format!("{} is damaged ({e}); remove its folder and run again", path.display())))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A plausible result to write in tests.
    pub(in crate::study) fn sample(cell: &crate::study::Cell, test_accuracy: f64) -> CellResult {
        let noisy = cell.noise_rate > 0.0;
        CellResult {
            dataset: cell.dataset.clone(),
            pretraining: cell.pretraining.to_string(),
            noise_kind: cell.noise_kind.map_or("none".to_string(), |k| k.to_string()),
            noise_rate: cell.noise_rate,
            realised_noise_rate: cell.noise_rate * 0.99,
            method: cell.method.to_string(),
            seed: cell.seed,
            test_accuracy,
            balanced_accuracy: test_accuracy - 0.02,
            macro_f1: test_accuracy - 0.03,
            auroc: Some((test_accuracy + 0.1).min(1.0)),
            knn_accuracy: Some(test_accuracy - 0.2),
            best_val_accuracy: test_accuracy + 0.01,
            best_val_epoch: 6,
            best_val_test_accuracy: Some(test_accuracy + 0.01),
            last5_test_accuracy: None,
            memorised_fraction: noisy.then_some(0.4),
            classes: 6,
            train_images: 600,
            val_images: 60,
            test_images: 300,
            dropped_duplicates: 0,
            epochs: 8,
            seconds: 9.5,
            adapter: "llvmpipe (LLVM 19.1.7, 256 bits)".to_string(),
        }
    }

    fn study() -> (tempfile::TempDir, Vec<crate::study::Cell>) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::parse("t", "").unwrap();
        files::write_atomic(&dir.path().join("config.toml"), config.to_toml().unwrap().as_bytes()).unwrap();
        (dir, cells(&config))
    }

    #[test]
    fn results_csv_has_a_row_per_finished_cell_in_the_grid_s_order() {
        let (dir, grid) = study();
        for cell in [&grid[3], &grid[0], &grid[1]] {
            write_result(&run_folder(dir.path(), &cell.name), &sample(cell, 0.7)).unwrap();
        }
        std::fs::create_dir_all(run_folder(dir.path(), &grid[2].name)).unwrap(); // begun, not finished
        let text = files::read_text(&write_csv(dir.path()).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with(
            "dataset,pretraining,noise_kind,noise_rate,realised_noise_rate,method,seed,test_accuracy,balanced_accuracy,"
        ));
        assert!(lines[0].contains(",knn_accuracy,") && lines[0].contains(",seconds,"));
        assert!(lines[1].starts_with("phantom-covid,none,none,0.0,"));
        assert!(lines[3].starts_with("phantom-covid,simclr,symmetric,0.4,"));
        assert_eq!(lines.len(), 4);
        let all = gather(dir.path()).unwrap();
        assert_eq!(all[2].1, sample(&grid[3], 0.7));
    }

    #[test]
    fn a_damaged_result_names_itself_and_nan_is_refused() {
        let (dir, grid) = study();
        let folder = run_folder(dir.path(), &grid[0].name);
        assert_eq!(gather(dir.path()).unwrap_err().exit_code(), 4);
        files::write_atomic(&folder.join("result.json"), b"{\"dataset\": \"x\"").unwrap();
        let e = write_csv(dir.path()).unwrap_err();
        assert!(e.to_string().contains(&format!("{}", folder.join("result.json").display())), "{e}");
        assert_eq!(e.exit_code(), 4);
        let e = write_result(&folder, &sample(&grid[0], f64::NAN)).unwrap_err();
        assert!(e.to_string().contains("not a number"), "{e}");
        assert!(files::read_text(&folder.join("result.json")).unwrap().starts_with("{\"dataset\""), "left as it was");
    }

    #[test]
    fn epochs_labels_and_pictures_read_back_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let epoch = EpochRecord {
            phase: Phase::Train,
            epoch: 1,
            loss: 0.1 + 0.2,
            lr: 1e-3,
            skipped_steps: 2,
            train_accuracy: Some(0.5),
            wrong_label_memorised: None,
            val_accuracy: Some(1.0 / 3.0),
            seconds: 0.25,
            images_per_s: 640.0,
        };
        write_epochs(dir.path(), &[epoch.clone(), epoch.clone()]).unwrap();
        assert_eq!(read_epochs(dir.path()).unwrap(), [epoch.clone(), epoch]);
        std::fs::write(dir.path().join("epochs.jsonl"), "{\"phase\":\"train\"").unwrap();
        assert!(read_epochs(dir.path()).unwrap_err().to_string().contains("epochs.jsonl:1:"));

        let rows = [LabelRow { name: "a, \"b\".png".into(), clean: 1, given: 0 }];
        let path = dir.path().join("labels.csv");
        write_labels(&path, &rows).unwrap();
        assert_eq!(read_labels(&path).unwrap(), rows);
        assert!(files::read_text(&path).unwrap().starts_with("name,clean,given\n"));
        std::fs::write(&path, "name,clean,given\nx,one,2\n").unwrap();
        assert!(read_labels(&path).unwrap_err().to_string().contains("labels.csv"));

        let pictures = [Picture { png: vec![1, 2, 3], clean: "normal".into(), given: "wrong".into() }];
        write_pictures(dir.path(), "d", &pictures).unwrap();
        assert_eq!(read_pictures(dir.path(), "d").unwrap(), pictures);
        assert!(read_pictures(dir.path(), "other").unwrap().is_empty());
    }
}
