//! The first stage of a training whose method estimates the transition matrix of the noise. A network learns the given
//! labels by cross-entropy, in its own folder. Its predictions for the training images give the matrix.

use super::run;
use crate::base::{Error, Result};
use crate::data::arrays::floats;
use crate::noise::learn::estimate;
use crate::study::dataset::Loaded;
use crate::study::folder::Done;
use crate::study::grid::Cell;
use crate::study::metrics::probabilities;
use crate::study::names::{PREDICTIONS, REDO};
use crate::study::session::Job;
use crate::study::start::Start;
use std::path::Path;

/// If a cell's method estimates its transition matrix: the cell of the first stage, which differs only in its method,
/// and the percentile of the estimate.
pub(super) fn first_stage(job: &Job<'_>, cell: &Cell) -> Result<Option<(Cell, f64)>> {
    let percentile = job.config.learning_of(&cell.method)?.learner.estimates();
    let first = |p| (Cell { method: FIRST.into(), name: format!("{}, first stage", cell.name), ..cell.clone() }, p);
    Ok(percentile.map(first))
}

/// The method of a first stage, and the name of its folder within the cell's folder.
const FIRST: &str = "cross_entropy";
const FIRST_STAGE: &str = "first_stage";

/// The result of a first stage.
#[derive(Default)]
pub(super) struct Estimate {
    /// The transition matrix, row by row. `None` without a first stage.
    pub matrix: Option<Vec<f64>>,
    /// Seconds that the first stage took.
    pub seconds: f64,
}

impl Estimate {
    pub fn of(job: &Job<'_>, set: &Loaded, cell: &Cell, start: Option<&Start>, folder: &Path) -> Result<Estimate> {
        let Some((first, percentile)) = first_stage(job, cell)? else { return Ok(Estimate::default()) };
        let folder = folder.join(FIRST_STAGE);
        let result = run(job, set, &first, start, &folder)?;
        let path = folder.join(PREDICTIONS);
        let done = Done::read(&folder)?.ok_or_else(|| Error::damaged(&path, "its folder is not finished", REDO))?;
        let logits =
            floats(&done.bytes(&folder, PREDICTIONS)?, "logits").map_err(|why| Error::damaged(&path, why, REDO))?;
        let (classes, images) = (set.data.classes.len(), set.data.train.len());
        // Training images come first.
        let train =
            logits.get(..images * classes).ok_or_else(|| Error::damaged(&path, "it lacks training images", REDO))?;
        let matrix = Some(estimate(&probabilities(train, classes), classes, percentile));
        Ok(Estimate { matrix, seconds: result.seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::study::predictions::tests::{compare, read};
    use crate::study::results::run_folder;
    use crate::study::testing::with_job;
    use crate::study::{CellResult, Manner, Selection, cells};

    #[test]
    fn a_first_network_gives_the_matrix() {
        let text = "[data]\nspecs = [\"phantom:covid?train=40&val=8&test=9\"]\nstore_size = 16\nimage_size = 16\n[model]\nwidth = 0.0625\n\
                    [pretraining]\nmethods = [\"none\"]\n[noise]\nrates = [0.3]\n[training]\nmethods = [\"forward\", \"cross_entropy\"]\n\
                    epochs = 2\nbatch_size = 20\n[training.forward]\ntransition = \"estimated\"\nestimate_percentile = 90.0\n";
        with_job(text, &Silent, |job| {
            let timeless = |r: &CellResult| CellResult { seconds: 0.0, ..r.clone() };
            let run = || job.run(Selection::All, Manner::default()).unwrap().results;
            let (first, grid) = (run(), cells(job.config));
            let folder = run_folder(job.out, &grid[0].name);
            let [forward, cross_entropy] = &first[..] else { panic!("two cells") };
            let saved = read(&folder.join(FIRST_STAGE));
            let due = estimate(&probabilities(&saved.logits[..40 * 3], 3), 3, 90.0);
            assert_eq!(forward.estimated_transition.concat(), due);
            let sums = forward.estimated_transition.iter().map(|row| row.iter().sum::<f64>());
            assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-9), "{due:?}");
            assert_eq!((forward.method_told.as_str(), cross_entropy.estimated_transition.len()), ("", 0));
            // The first stage gives what cross-entropy alone gives, and the second stage learns in another way.
            let alone = read(&run_folder(job.out, &grid[1].name));
            assert_eq!(saved.logits, alone.logits);
            assert_ne!(compare(&folder, forward).logits, alone.logits);
            // A lost result is made again from the first stage, which is still there.
            std::fs::remove_file(folder.join("done")).unwrap();
            let again = run();
            assert_eq!(timeless(&again[0]), timeless(forward));
            // If another run is in its place, it is refused before a first stage is trained.
            std::fs::remove_file(folder.join("done")).unwrap();
            std::fs::remove_dir_all(folder.join(FIRST_STAGE)).unwrap();
            let set = job.load(&grid[0].spec).unwrap();
            let other = Cell { seed: 7, ..grid[0].clone() };
            let e = super::run(job, &set, &other, None, &folder).unwrap_err();
            assert!(e.exit_code() == 2 && e.to_string().contains("seed: 0, now 7"), "{e}");
            assert!(!folder.join(FIRST_STAGE).exists());
        });
    }
}
