//! Measures a backbone's frozen features: one pass over the images with the network in evaluation mode, then a linear
//! classifier or a vote of nearest neighbours, which learn from the given labels. The linear classifier's weight decay
//! is the one with the best accuracy on the validation images. Test images decide nothing.

mod lbfgs;
mod logistic;

use super::cell::{about, provenance_of, settings_hash, tell};
use super::config::Protocol;
use super::dataset::Loaded;
use super::folder::{Done, once};
use super::grid::Cell;
use super::labels::Labels;
use super::measured::{Measured, Mislabelled};
use super::metrics::{Metrics, argmax, judged, metrics};
use super::names::{BACKBONE, CONFIG, ENVIRONMENT, EPOCHS, LABELS, PREDICTIONS, PROJECTION, RESULT};
use super::neighbours::{nearest, shares, votes};
use super::outlay::{Outlay, passes, predictions_bytes};
use super::owner::still_mine;
use super::pass::{Eye, Pass};
use super::predictions::{Predicted, write_predictions};
use super::projection::Projection;
use super::provenance::Provenance;
use super::results::{CellResult, LabelRow, read_result, stamp, write_epochs, write_labels, write_result};
use super::separability::Separability;
use super::session::Job;
use super::settings::probe_settings;
use super::start::{Start, backbone_metadata};
use crate::base::{Error, Result};
use crate::data::Split;
use crate::data::store::ImageStore;
use crate::nn::{Mode, Params, checkpoint};
use crate::tape::{Schedule, State, Tape, Type};
pub(super) use logistic::{Linear, Rows};
use std::path::Path;
use std::time::Instant;

/// The schedules of the plans that a probe runs.
pub(super) fn schedules(job: &Job<'_>, set: &Loaded, cell: &Cell) -> Result<Vec<Schedule>> {
    let (resident, eye) = (set.stores().map(ImageStore::resident), Eye::of(job, set, cell)?);
    let tapes = Pass::tapes(job, &eye, &resident.each_ref(), None, job.config.evaluation.batch_size)?;
    let mut all = tapes.iter().map(|t| job.schedule(t)).collect::<Result<Vec<_>>>()?;
    if cell.protocol == Protocol::Linear {
        let (width, classes) = (eye.backbone.features(), set.data.classes.len());
        all.extend(Rows::new(job.gpu, &[], &set.data.train.labels, width, classes).schedules(job)?);
    }
    Ok(all)
}

/// What judging a backbone costs, without the search for neighbours and the fit of a classifier.
pub(super) fn outlay(job: &Job<'_>, set: &Loaded, cell: &Cell) -> Result<Outlay> {
    let (stores, eye, classes) = (set.stores(), Eye::of(job, set, cell)?, set.data.classes.len());
    let batch = Pass::batch(job, &stores);
    let tapes = Pass::tapes(job, &eye, &stores, None, batch)?;
    let parts = tapes.iter().zip(stores).map(|(t, store)| Ok((job.scheduled(t)?, passes(store.count, batch))));
    let one = Outlay::of(job, parts.collect::<Result<_>>()?, 0, (&set.resident, &Params::new()));
    let kept = if cell.protocol == Protocol::Linear { one.disk_bytes } else { 0 };
    let images = stores.iter().map(|store| store.count).sum();
    Ok(Outlay { disk_bytes: kept + predictions_bytes(images, classes), ..one })
}

/// What the bits of a cell depend on.
fn provenance(
    job: &Job<'_>,
    set: &Loaded,
    (cell, given): (&Cell, &Labels),
    start: Option<&Start>,
) -> Result<Provenance> {
    let (settings, steps) = (probe_settings(job.config, cell)?, schedules(job, set, cell)?);
    provenance_of(job, set, (cell, given), start, (settings, &steps))
}

/// The address of a cell, see [`Provenance`].
pub(super) fn address(job: &Job<'_>, set: &Loaded, cell: &Cell, start: Option<&Start>) -> Result<String> {
    let given = cell.given(&set.data, job.data_root)?;
    Ok(provenance(job, set, (cell, &given), start)?.address)
}

/// Judges the backbone of a cell into `folder`, unless that is done. Returns the result.
pub(super) fn run(
    job: &Job<'_>,
    set: &Loaded,
    cell: &Cell,
    start: Option<&Start>,
    folder: &Path,
) -> Result<CellResult> {
    let given = cell.given(&set.data, job.data_root)?;
    let made = provenance(job, set, (cell, &given), start)?;
    let judge = || -> Result<_> {
        let since = Instant::now();
        let probe = Probe::new(job, set, (cell, given), start)?;
        let (found, classifier) = match cell.protocol {
            Protocol::Knn => (probe.knn()?, None),
            _ => {
                let (found, classifier) = probe.linear()?;
                (found, Some(classifier))
            }
        };
        let made_by = start.map_or("none".to_string(), |s| s.made_by.clone());
        let mut row = probe.result(cell, &made_by, &found)?;
        stamp(&made, job.table_hash(), &mut row)?;
        row.settings_hash = settings_hash(&made, start)?;
        let (seconds, pretraining_collapsed) = (since.elapsed().as_secs_f64(), start.and_then(|s| s.collapsed));
        Ok((probe, found, classifier, CellResult { seconds, pretraining_collapsed, ..row }))
    };
    let read = |done: Done| read_result(folder, &done);
    let judge = || job.shared.evaluating(judge).inspect(|_| job.shared.ended());
    once(job, folder, &made, read, judge, |(probe, found, classifier, result)| {
        job.describe(folder, &made, about(set))?;
        still_mine(folder)?;
        write_labels(&folder.join(LABELS), &LabelRow::all(&set.data.train, &probe.given.train))?;
        write_epochs(folder, &[])?; // nothing was trained in epochs
        probe.predict(folder, &found)?;
        let drawn = Projection::of(&probe.features[2], probe.width(), &set.data).write(folder, job.progress)?;
        write_result(folder, &result)?;
        let mut written = vec![CONFIG, ENVIRONMENT, LABELS, EPOCHS, PREDICTIONS, RESULT];
        written.extend(drawn.then_some(PROJECTION));
        if let Some(classifier) = &classifier {
            still_mine(folder)?;
            probe.save(&folder.join(BACKBONE), classifier, cell, &made.address)?;
            written.push(BACKBONE);
        }
        Done::write(folder, &made.address, &written)?;
        let decay = classifier.as_ref().map(|l| format!("weight decay {}, loss {:.4}, ", l.weight_decay, l.loss));
        tell(job, cell, &result, &format!("{}{:.1} s", decay.unwrap_or_default(), result.seconds));
        Ok(result)
    })
}

/// Frozen features of all three splits.
struct Probe<'a> {
    job: &'a Job<'a>,
    set: &'a Loaded,
    /// The labels to learn from, and the validation labels by which a weight decay is chosen.
    given: Labels,
    eye: Eye,
    state: State,
    /// Rows of features of the training, validation and test images.
    features: [Vec<f32>; 3],
}

/// What a protocol measured.
struct Found {
    test: Metrics,
    val_accuracy: f64,
    mislabelled: Mislabelled,
    weight_decay: Option<f64>,
    /// The predictions for the training, validation and test images: the class of each image, and rows of logits.
    /// `None` for the training images if they vote.
    predicted: [Option<(Vec<u32>, Vec<f32>)>; 3],
}

impl<'a> Probe<'a> {
    fn new(job: &'a Job<'a>, set: &'a Loaded, (cell, given): (&Cell, Labels), start: Option<&Start>) -> Result<Self> {
        let eye = Eye::of(job, set, cell)?;
        let mut state = set.resident.clone();
        if let Some(start) = start {
            start.load(job, &set.data.classes, eye.backbone.as_ref(), &mut state)?;
        }
        let (mut t, mut params) = (Tape::new(), Params::new());
        let data = &job.config.data;
        let x = t.input("x", Type::f32([2, data.channels, data.image_size, data.image_size]))?;
        eye.backbone.forward(&mut t, &mut params, "backbone.", x, Mode::Eval)?;
        params.fill(job.gpu, &mut state, cell.seed)?;
        let stores = set.stores();
        let weights = format!("the weights of {}", cell.name);
        let passes = Pass::each(job, &eye, stores, (&state, &weights), None)?;
        let [train, val, test] = passes.map(|pass| pass.features(job));
        Ok(Probe { job, set, given, features: [train?, val?, test?], eye, state })
    }

    fn classes(&self) -> usize {
        self.set.data.classes.len()
    }

    fn width(&self) -> usize {
        self.eye.backbone.features()
    }

    /// The linear classifier with the weight decay that is best on the validation images. Of equals, the largest weight
    /// decay is taken.
    fn linear(&self) -> Result<(Found, Linear)> {
        let (data, classes) = (&self.set.data, self.classes());
        let [train, val, test] = &self.features;
        let decays = &self.job.config.evaluation.linear_weight_decays;
        let fitted = Rows::new(self.job.gpu, train, &self.given.train, self.width(), classes).fit(self.job, decays)?;
        let mut best: Option<(f64, Linear)> = None;
        for linear in fitted {
            let accuracy = metrics(&linear.logits(val), &self.given.val, classes)?.accuracy;
            let better = |(most, chosen): &(f64, Linear)| {
                accuracy > *most || accuracy == *most && linear.weight_decay > chosen.weight_decay
            };
            if best.as_ref().is_none_or(better) {
                best = Some((accuracy, linear));
            }
        }
        let Some((val_accuracy, linear)) = best else {
            return Err(Error::Usage("evaluation.linear_weight_decays is empty; name at least one".into()));
        };
        if !linear.converged {
            let decay = linear.weight_decay;
            self.job.progress.note(&format!(
                "warning: the linear probe with weight decay {decay} did not converge; give \
                 evaluation.linear_weight_decays a larger smallest value"
            ));
        }
        let predicted = [train, val, test].map(|rows| {
            let logits = linear.logits(rows);
            (argmax(&logits, classes), logits)
        });
        let mislabelled = Mislabelled::of(&predicted[0].0, &self.given.train, &data.train.labels);
        let test = metrics(&predicted[2].1, &data.test.labels, classes)?;
        let (weight_decay, predicted) = (Some(linear.weight_decay), predicted.map(Some));
        Ok((Found { test, val_accuracy, mislabelled, weight_decay, predicted }, linear))
    }

    /// The weighted vote of the nearest training images, which vote for their given labels.
    fn knn(&self) -> Result<Found> {
        let (data, classes) = (&self.set.data, self.classes());
        let [train, val, test] = &self.features;
        let of = |rows: &[f32]| {
            let near = nearest(self.job, train, rows, self.width())?;
            Ok(votes(&near, &self.given.train, &self.job.config.evaluation, classes))
        };
        let (val, test) = (of(val)?, of(test)?);
        let val_accuracy = judged(&val.0, &val.1, &self.given.val, classes)?.accuracy;
        let tested = judged(&test.0, &test.1, &data.test.labels, classes)?;
        let (mislabelled, predicted) = (Mislabelled::default(), [None, Some(val), Some(test)]);
        Ok(Found { test: tested, val_accuracy, mislabelled, weight_decay: None, predicted })
    }

    /// Writes `predictions.npz`.
    fn predict(&self, folder: &Path, found: &Found) -> Result<()> {
        let data = &self.set.data;
        let given = [&self.given.train, &self.given.val, &data.test.labels];
        let parts =
            Split::ALL.into_iter().zip(given).zip(&found.predicted).filter_map(|((split, given), predicted)| {
                let (taken, logits) = predicted.as_ref()?;
                Some(Predicted { split, images: data.part(split), given, logits, taken: taken.clone(), second: None })
            });
        write_predictions(folder, &data.classes, &parts.collect::<Vec<_>>())
    }

    /// Writes the backbone together with the classifier.
    fn save(&self, path: &Path, linear: &Linear, cell: &Cell, address: &str) -> Result<()> {
        let (mut t, mut params, mut state) = (Tape::new(), Params::new(), self.state.clone());
        let x = t.input("x", Type::f32([2, self.width()]))?;
        self.eye.backbone.classify(&mut t, &mut params, "backbone.", x, self.classes())?;
        for p in params.list() {
            let values = if p.ty.shape.rank() == 2 { &linear.weight } else { &linear.bias };
            state.insert(self.job.gpu, &p.name, p.ty, Some(bytemuck::cast_slice(values)))?;
        }
        let by = (&*cell.method, &cell.model(self.job.config)?);
        let made = backbone_metadata(self.job, &self.set.train, by, &self.set.data.classes, address);
        checkpoint::save_backbone(path, self.job.gpu, &state, "backbone.", 0, made)
    }

    fn result(&self, cell: &Cell, made_by: &str, found: &Found) -> Result<CellResult> {
        let (job, data) = (self.job, &self.set.data);
        let [train, _, test] = &self.features;
        let near = nearest(job, train, test, self.width())?;
        let neighbours = shares(&near, &data.train.labels, &data.test.labels, &job.config.evaluation);
        let separability = Separability::of(train, self.width(), &data.train.labels, self.classes())?;
        let (set, given, mislabelled) = (self.set, &self.given.train[..], found.mislabelled);
        let row = Measured { cell, set, given, made_by, test: &found.test, mislabelled, neighbours, separability }
            .row(job)?;
        Ok(CellResult { linear_weight_decay: found.weight_decay, best_val_accuracy: found.val_accuracy, ..row })
    }
}

#[cfg(test)]
mod tests {
    use crate::base::progress::Silent;
    use crate::data::Split;
    use crate::study::config::Protocol;
    use crate::study::evaluate::{evaluate_file, evaluate_run};
    use crate::study::predictions::tests::compare;
    use crate::study::results::run_folder;
    use crate::study::testing::with_job;
    use crate::study::{Manner, Selection, cells};

    const TEXT: &str = "[data]\nspecs = [\"phantom:covid?train=40&val=16&test=24\"]\nstore_size = 16\nimage_size = 16\n\
                        [model]\nwidth = 0.125\n[pretraining]\nmethods = [\"none\", \"simclr\"]\nepochs = 1\nwarmup_epochs = 0\n\
                        batch_size = 20\n[noise]\nrates = [0.0, 0.3]\n[training]\nepochs = 1\nbatch_size = 20\n[evaluation]\n\
                        batch_size = 24\nknn_neighbours = 5\n";

    #[test]
    fn every_row_carries_its_protocol_and_a_study_goes_on_to_the_same() {
        let text = format!("{TEXT}protocols = [\"knn\", \"linear\"]\nlinear_weight_decays = [0.01, 1.0]\n");
        with_job(&text, &Silent, |job| {
            let grid = cells(job.config);
            assert_eq!(grid[0].name, "phantom-covid__none__clean__knn__seed-0");
            assert_eq!(grid.len(), 2 * 2 * 2);
            let run = || job.run(Selection::All, Manner::default()).unwrap();
            let first = run();
            assert!(first.damaged.is_empty(), "{:?}", first.damaged);
            for (cell, result) in grid.iter().zip(&first.results) {
                assert_eq!((cell.protocol, &*cell.method), (result.protocol, result.method.as_str()));
                assert_eq!(result.linear_weight_decay.is_some(), result.protocol == Protocol::Linear);
                assert!(result.knn_accuracy.is_some() && result.auroc.is_some());
                let saved = compare(&run_folder(job.out, &cell.name), result);
                assert_eq!(
                    saved.splits.iter().any(|s| s == "train"),
                    result.protocol == Protocol::Linear,
                    "training images that vote get no vote"
                );
            }
            // With clean labels, a vote for given labels is a vote for true labels.
            assert_eq!(Some(first.results[0].test_accuracy), first.results[0].knn_weighted_accuracy);
            // A linear classifier and its backbone are a network, whose file gives what the probe measured.
            assert!(run_folder(job.out, &grid[1].name).join("backbone.safetensors").is_file());
            let linear = run_folder(job.out, &grid[1].name);
            let file = linear.join("backbone.safetensors");
            let of_file = evaluate_file(job, &grid[1].spec, Split::Test, &file).unwrap();
            assert_eq!(of_file, evaluate_run(job, &grid[1].spec, Split::Test, &linear).unwrap());
            assert_eq!(of_file.accuracy, first.results[1].test_accuracy);
            let knn = run_folder(job.out, &grid[0].name);
            let e = evaluate_run(job, &grid[0].spec, Split::Test, &knn).unwrap_err();
            assert!(e.exit_code() == 4 && e.to_string().contains("has no classifier: its protocol is knn"), "{e}");
            let table = std::fs::read_to_string(job.out.join("results.csv")).unwrap();
            assert!(
                table.lines().next().unwrap().contains(",protocol,") && table.contains(",linear,,linear,"),
                "{table}"
            );
            let page = std::fs::read_to_string(job.out.join("report.html")).unwrap();
            assert!(page.contains("SimCLR, Linear classifier") && page.contains(">protocol<"));
            // If a result is lost, the same result is made again.
            let folder = run_folder(job.out, &grid[3].name);
            std::fs::remove_dir_all(&folder).unwrap();
            let timeless = |r: &crate::study::CellResult| crate::study::CellResult { seconds: 0.0, ..r.clone() };
            let again = run();
            let pairs = first.results.iter().zip(&again.results);
            assert!(pairs.into_iter().all(|(a, b)| timeless(a) == timeless(b)));
        });
    }
}
