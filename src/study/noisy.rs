//! Label noise by itself: the labels that a run would learn from and, where the config has it so, those by which it would
//! choose among its epochs, without a device or a network.

use super::config::{Config, ValidationLabels};
use super::dataset::load_options;
use super::grid::{AskedNoise, single};
use super::results::LabelRow;
use crate::base::{ConfusionMatrix, Result};
use crate::data::{self, Images, LoadOptions, Need, Paging};
use crate::noise::realised_rate;
use std::path::Path;

/// The labels of a dataset's images after noise.
#[derive(Debug)]
pub struct NoisyLabels {
    /// The names of the classes.
    pub classes: Vec<String>,
    /// A row for each training image, then one for each validation image where their labels get the same noise.
    pub rows: Vec<LabelRow>,
    /// The seed of the noise: the run's, or that of the config.
    pub seed: u64,
    /// How many of the rows are of validation images.
    pub val: usize,
    /// The share of wrong labels.
    pub realised_rate: f64,
    /// How many labels of each class (row) became labels of each class (column).
    pub counts: Vec<Vec<u64>>,
    /// Notes on how the dataset was read.
    pub warnings: Vec<String>,
}

/// The labels of the training images of `spec` after noise, those that `wgslab train` with the same config, noise and seed
/// learns from, and of the validation images where `noise.validation` is "noisy". `progress` is told (done, total)
/// images while files are decoded. `pages` is a folder for a set that memory is not to hold.
pub fn noisy_labels(
    config: &Config,
    (spec, data_root, pages): (&str, &Path, &Path),
    noise: AskedNoise,
    seed: u64,
    progress: &dyn data::Loading,
) -> Result<NoisyLabels> {
    let paging = Paging { resident_bytes: config.data.resident_bytes, folder: pages.to_path_buf() };
    let options = LoadOptions { paging: Some(paging), ..load_options(&config.data, data_root, None) };
    let data = data::load_for(spec, &options, Need::Learning, progress)?;
    let cell = single(config, spec, noise, seed)?;
    let given = cell.given(&data, data_root)?;
    let noisy_val = config.noise.validation == ValidationLabels::Noisy;
    let mut parts: Vec<(&Images, &[u32])> = vec![(&data.train, &given.train)];
    parts.extend(noisy_val.then_some((&data.val, &given.val[..])));
    let clean: Vec<u32> = parts.iter().flat_map(|(images, _)| images.labels.iter().copied()).collect();
    let after: Vec<u32> = parts.iter().flat_map(|(_, given)| given.iter().copied()).collect();
    Ok(NoisyLabels {
        seed: cell.seed_of_noise(),
        rows: parts.iter().flat_map(|(images, given)| LabelRow::all(images, given)).collect(),
        val: if noisy_val { data.val.len() } else { 0 },
        realised_rate: realised_rate(&clean, &after)?,
        counts: ConfusionMatrix::new(data.classes.len(), &clean, &after)?.rows(),
        classes: data.classes,
        warnings: data.warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::results::{read_labels, run_folder};
    use crate::study::testing::with_job;
    use crate::study::{Manner, Selection};

    #[test]
    fn the_labels_are_those_that_a_run_learns_from() {
        let spec = "phantom:covid?train=60&val=8&test=9";
        let text = format!(
            "[data]\nspecs = [\"{spec}\"]\nstore_size = 16\nimage_size = 16\n[model]\nwidth = 0.0625\n[pretraining]\n\
             methods = [\"none\"]\n[noise]\nkinds = [\"pair_flip\"]\nrates = [0.4]\n[training]\nepochs = 0\nbatch_size = 8\n"
        );
        with_job(&text, &crate::base::progress::Silent, |job| {
            job.run(Selection::All, Manner::default()).unwrap();
            let cell = &crate::study::grid::cells(job.config)[0];
            let learnt = read_labels(&run_folder(job.out, &cell.name).join("labels.csv")).unwrap();
            let kind = "pair_flip".parse().unwrap();
            let made =
                noisy_labels(job.config, (spec, job.data_root, job.out), (kind, Some(0.4)), 0, &|_, _| {}).unwrap();
            assert_eq!(made.rows, learnt);
            // A set that streams gives the same labels, of a kind that reads its pixels, too.
            let of = |kind: &str, resident_bytes: u64| {
                let mut config = job.config.clone();
                config.data.resident_bytes = resident_bytes;
                let noise = (kind.parse().unwrap(), Some(0.4));
                let made = noisy_labels(&config, (spec, job.data_root, job.out), noise, 0, &|_, _| {}).unwrap();
                assert_eq!(made.warnings.iter().any(|w| w.contains("stream from pages")), resident_bytes == 0);
                made.rows
            };
            assert_eq!(of("pair_flip", 0), learnt);
            assert_eq!(of("instance_dependent", 0), of("instance_dependent", 1 << 30));
            let wrong: u64 = (0..3).map(|c| made.counts[c][(c + 1) % 3]).sum();
            assert!(wrong > 10 && wrong as f64 / 60.0 == made.realised_rate, "{:?}", made.counts);
        });
    }
}
