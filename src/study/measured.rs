//! A run's row of results: the columns that every protocol measures.

use super::dataset::Loaded;
use super::grid::Cell;
use super::metrics::{Metrics, undefined_auroc};
use super::neighbours::Neighbours;
use super::results::CellResult;
use super::separability::Separability;
use super::session::Job;
use crate::base::{ConfusionMatrix, Result};
use crate::nn::Precision;
use crate::noise;

/// For the training images with a wrong given label: the shares that a classifier assigns to their true class, to the
/// given class and to a third class. `None` if no label is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mislabelled {
    pub as_true: Option<f64>,
    pub as_given: Option<f64>,
    pub as_other: Option<f64>,
}

impl Mislabelled {
    /// Counts them from the class that each image was assigned to (`taken`), its `given` label and its `clean` label.
    pub fn of(taken: &[u32], given: &[u32], clean: &[u32]) -> Mislabelled {
        let mut counts = [0.0; 3];
        for ((taken, given), clean) in taken.iter().zip(given).zip(clean).filter(|((_, g), c)| g != c) {
            counts[if taken == clean {
                0
            } else if taken == given {
                1
            } else {
                2
            }] += 1.0;
        }
        let all: f64 = counts.iter().sum();
        let [as_true, as_given, as_other] = counts.map(|n| (all > 0.0).then(|| n / all));
        Mislabelled { as_true, as_given, as_other }
    }
}

/// What every protocol measures for a cell.
pub(super) struct Measured<'a> {
    pub cell: &'a Cell,
    pub set: &'a Loaded,
    /// The labels that the cell learnt from.
    pub given: &'a [u32],
    /// Where the backbone's weights come from.
    pub made_by: &'a str,
    pub test: &'a Metrics,
    pub mislabelled: Mislabelled,
    pub neighbours: Neighbours,
    /// Measured on the training images' features with their true labels.
    pub separability: Separability,
}

impl Measured<'_> {
    /// The row. Columns that only one protocol measures are `None` or 0.
    pub fn row(&self, job: &Job<'_>) -> Result<CellResult> {
        let (cell, data, test) = (self.cell, &self.set.data, self.test);
        let (classes, c) = (data.classes.len(), &job.config.evaluation);
        self.say_undefined(job);
        let realised_noise_rate = noise::realised_rate(&data.train.labels, self.given)?;
        let has_rate = cell.noise_kind.is_none_or(|kind| kind.has_rate());
        Ok(CellResult {
            dataset: cell.dataset.to_string(),
            backbone: cell.model(job.config)?.to_string(),
            pretraining: self.made_by.to_string(),
            noise_kind: cell.kind_name(),
            noise_rate: if has_rate { cell.noise_rate } else { realised_noise_rate },
            realised_noise_rate,
            noise_seed: cell.noise_kind.filter(|kind| kind.has_rate()).map(|_| cell.seed_of_noise()),
            validation_labels: if cell.noise_kind.is_some() { cell.validation } else { Default::default() },
            noise_matrix: ConfusionMatrix::new(classes, &data.train.labels, self.given)?.rows(),
            method: cell.method.to_string(),
            method_told: String::new(),
            protocol: cell.protocol,
            seed: cell.seed,
            test_accuracy: test.accuracy,
            balanced_accuracy: test.balanced_accuracy,
            macro_f1: test.macro_f1,
            auroc: test.auroc,
            mcc: Some(test.mcc),
            ece: test.ece,
            recall: test.recall.clone(),
            confusion: test.confusion.clone(),
            knn_accuracy: Some(self.neighbours.accuracy),
            knn_weighted_accuracy: Some(self.neighbours.weighted_accuracy),
            knn_neighbours: Some(c.knn_neighbours),
            knn_temperature: Some(c.knn_temperature),
            fisher_ratio: self.separability.ratio,
            fisher_pairs: self.separability.pairs.clone(),
            linear_weight_decay: None,
            best_test_accuracy: None,
            best_test_epoch: None,
            best_val_accuracy: 0.0,
            best_val_epoch: 0,
            precision: Precision::F32,
            best_val_test_accuracy: None,
            last5_test_accuracy: None,
            second_test_accuracy: None,
            ensemble_test_accuracy: None,
            memorised_fraction: self.mislabelled.as_given,
            mislabelled_as_true: self.mislabelled.as_true,
            mislabelled_as_other: self.mislabelled.as_other,
            selection_precision: None,
            selection_recall: None,
            estimated_transition: Vec::new(),
            pretraining_collapsed: None,
            classes,
            train_images: data.train.len(),
            val_images: data.val.len(),
            test_images: data.test.len(),
            dropped_duplicates: data.dropped_duplicates,
            left_out_files: Some(data.left_out.len()),
            epochs: 0,
            seconds: 0.0,
            adapter: job.gpu.adapter().name.clone(),
            // What runs the cell is stamped on its row in the end.
            driver: String::new(),
            backend: String::new(),
            wgslab: String::new(),
            results_version: 0,
            kernel_table: String::new(),
            shaders: job.gpu.tree().hash().unwrap_or_default(),
            config_hash: String::new(),
            settings_hash: String::new(),
        })
    }

    /// Says if AUROC is not defined for the test images.
    fn say_undefined(&self, job: &Job<'_>) {
        let data = &self.set.data;
        if let Some(told) = undefined_auroc(self.test, &data.classes, &format!("{}: test images", data.name)) {
            job.progress.note(&told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Mislabelled;

    #[test]
    fn mislabelled_images_are_taken_for_one_of_three() {
        let of = Mislabelled::of(&[0, 1, 2, 1, 0], &[1, 1, 1, 1, 0], &[0, 0, 0, 0, 0]);
        assert_eq!([of.as_true, of.as_given, of.as_other], [Some(0.25), Some(0.5), Some(0.25)]);
        assert_eq!(Mislabelled::of(&[1], &[0], &[0]), Mislabelled::default(), "no label is wrong");
    }
}
