//! Reads a study's folder for the report: which lines a plot has, and what the repeats of a cell say together.

use super::missing::{Missing, missing};
use super::names;
use crate::base::plot::Point;
use crate::base::{Error, Result};
use crate::noise::NoiseKind;
use crate::ssl;
use crate::study::config::{Config, Protocol};
use crate::study::folder::{Done, kept_config};
use crate::study::grid::cells;
use crate::study::names::RESULT;
use crate::study::origin::{Origin, main_origin};
use crate::study::projection::Projection;
use crate::study::results::{CellResult, EpochRecord, Gathered, Phase, Picture};
use crate::study::results::{finished_epochs, read_pictures, run_folder};
use crate::study::statistics::{Summary, mean};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// One finished cell.
pub(super) struct Run {
    pub result: CellResult,
    /// The noise of its labels.
    pub level: NoiseLevel,
    /// After each epoch of training, from 1, the share of wrong labels that its steps took for right.
    pub memorised: Vec<(usize, f64)>,
}

/// What [`Run::memorised`] holds of the records. A study may have a hundred thousand runs, so that nothing else is kept.
fn memorised(epochs: Vec<EpochRecord>) -> Vec<(usize, f64)> {
    let trained = epochs.into_iter().filter(|e| e.phase == Phase::Train);
    trained.filter_map(|e| Some((e.epoch, e.wrong_label_memorised?))).collect()
}

/// A backbone's features of test images, projected on two directions.
pub(super) struct Features {
    /// The run with this backbone.
    pub result: CellResult,
    /// `None` if the run kept no projection.
    pub projection: Option<Projection>,
}

/// What a line of a plot shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    pub backbone: String,
    pub pretraining: String,
    pub method: String,
}

impl Series {
    pub fn of(r: &CellResult) -> Self {
        let (backbone, pretraining, method) = (r.backbone.clone(), r.pretraining.clone(), r.method.clone());
        Series { backbone, pretraining, method }
    }
}

/// A kind and a rate of label noise. Clean labels have the kind `none` and the rate 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NoiseLevel {
    pub kind: String,
    /// `None` for a kind without a rate: its labels are one level, whatever share of them is wrong in a dataset.
    pub rate: Option<f64>,
}

impl NoiseLevel {
    fn of(result: &CellResult) -> Self {
        let has_rate = result.noise_kind.parse().is_ok_and(|kind: NoiseKind| kind.has_rate());
        let rate = (has_rate || result.noise_kind == CLEAN).then_some(result.noise_rate);
        NoiseLevel { kind: result.noise_kind.clone(), rate }
    }

    /// Whether the labels are clean: none was to be made wrong.
    pub fn is_clean(&self) -> bool {
        self.kind == CLEAN
    }

    /// The level in words: "clean labels", "40 % symmetric noise", "given labels".
    pub fn words(&self) -> String {
        match self.rate {
            _ if self.is_clean() => "clean labels".to_string(),
            Some(rate) => format!("{} % {} noise", (rate * 1e4).round() / 100.0, names::noise(&self.kind)),
            None => format!("{} labels", names::noise(&self.kind)),
        }
    }
}

/// The noise kind of clean labels in a row of results.
const CLEAN: &str = "none";

/// What was read from a study's folder.
pub(super) struct Study {
    /// The study's folder, as the paths in its sentences begin.
    folder: String,
    pub config: Config,
    pub config_text: String,
    pub runs: Vec<Run>,
    /// How many cells the whole grid has.
    pub planned: usize,
    /// When the last cell finished, in seconds since 1970.
    pub finished: u64,
    /// The datasets with their sample pictures, in the grid's order.
    pub datasets: Vec<(String, Vec<Picture>)>,
    /// A picture of the features of each dataset's backbones.
    pub features: Vec<Features>,
    /// A sentence for each cell that is left out, because it is damaged or not known to be done.
    pub left_out: Vec<String>,
    /// The cells without a result.
    pub missing: Vec<Missing>,
    /// A sentence for each program, adapter, driver or table of kernels besides the one of most cells, and for each cell that
    /// other settings made. Their cells are not in `runs`, unless all are averaged together.
    pub apart: Vec<String>,
    /// How many finished cells are not in `runs`.
    pub apart_cells: usize,
    /// Whether cells are averaged whatever ran them.
    pub together: bool,
    /// A sentence for each strip of pictures and each run's epochs that are damaged and not shown.
    pub not_shown: Vec<String>,
    index: Index,
}

/// What the runs have in common, found once: a study may have a hundred thousand.
#[derive(Default)]
struct Index {
    series: Vec<Series>,
    kinds: Vec<String>,
    levels: Vec<NoiseLevel>,
    /// Where the repeats of a cell are among the runs.
    cells: HashMap<String, Vec<usize>>,
}

impl Index {
    fn of(runs: &[Run]) -> Self {
        let mut series = distinct(runs.iter().map(|r| Series::of(&r.result)));
        series.sort_by_key(|s| s.pretraining != ssl::NONE);
        let kinds = distinct(runs.iter().filter(|r| !r.level.is_clean()).map(|r| &r.result.noise_kind));
        let mut cells = HashMap::<String, Vec<usize>>::new();
        for (i, r) in runs.iter().enumerate() {
            cells.entry(Index::key(&r.result.dataset, &r.level, &Series::of(&r.result))).or_default().push(i);
        }
        Index {
            series,
            kinds: kinds.into_iter().cloned().collect(),
            levels: distinct(runs.iter().map(|r| &r.level)).into_iter().cloned().collect(),
            cells,
        }
    }

    fn key(dataset: &str, level: &NoiseLevel, of: &Series) -> String {
        let (kind, rate) = (&level.kind, level.rate.map_or("any".to_string(), |rate| rate.to_string()));
        [dataset, kind, &rate, &of.backbone, &of.pretraining, &of.method].join("\n")
    }
}

/// The cells that other settings made than those that they stand beside, by their place, with a sentence each. The cells of a
/// seed that differ in their pretraining alone read the same of the config, and repeats have the same settings but for their
/// seeds. Of several settings those of most cells stay, of equals the first. Rows that do not tell their settings stay.
fn of_other_settings(kept: &[&(String, CellResult)]) -> BTreeMap<usize, String> {
    type Hash = fn(&CellResult) -> &str;
    let beside: [(bool, Hash); 2] = [(true, |r| &r.config_hash), (false, |r| &r.settings_hash)];
    let mut others = BTreeMap::new();
    for (of_seed, hash) in beside {
        let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, (_, r)) in
            kept.iter().enumerate().filter(|(at, (_, r))| !hash(r).is_empty() && !others.contains_key(at))
        {
            let own = if of_seed { Series { pretraining: String::new(), ..Series::of(r) } } else { Series::of(r) };
            let key = Index::key(&r.dataset, &NoiseLevel::of(r), &own);
            let seed = if of_seed { r.seed.to_string() } else { String::new() };
            groups.entry(format!("{key}\n{:?}\n{seed}", r.protocol)).or_default().push(at);
        }
        for group in groups.values().filter(|g| g.iter().any(|at| hash(&kept[*at].1) != hash(&kept[g[0]].1))) {
            let count = |of: &str| group.iter().filter(|at| hash(&kept[**at].1) == of).count();
            let most = group.iter().rev().map(|at| hash(&kept[*at].1)).max_by_key(|of| count(of)).unwrap_or_default();
            for at in group.iter().filter(|at| hash(&kept[**at].1) != most) {
                others.insert(*at, format!("{}: other settings than the cells beside it", kept[*at].0));
            }
        }
    }
    others
}

impl Study {
    pub fn read(dir: &Path, gathered: &Gathered) -> Result<Self> {
        let config = kept_config(dir)?;
        let (main, mut apart) = main_origin(gathered.cells.iter().map(|(_, result)| result));
        let is_main = |r: &CellResult| gathered.together || main.as_ref() == Some(&Origin::of(r));
        let mut kept: Vec<&(String, CellResult)> = gathered.cells.iter().filter(|(_, r)| is_main(r)).collect();
        let others = of_other_settings(&kept);
        apart.extend(others.values().cloned());
        if !gathered.together {
            let mut at = 0..;
            kept.retain(|_| at.next().is_some_and(|at| !others.contains_key(&at)));
        }
        let mut study = Study {
            missing: missing(dir, &config, gathered),
            apart,
            apart_cells: gathered.cells.len() - kept.len(),
            together: gathered.together,
            folder: dir.join("").display().to_string(),
            config_text: config.to_toml()?,
            planned: cells(&config).len(),
            config,
            runs: Vec::new(),
            finished: 0,
            datasets: Vec::new(),
            features: Vec::new(),
            left_out: gathered.left_out.clone(),
            not_shown: Vec::new(),
            index: Index::default(),
        };
        for (name, result) in kept.iter().copied() {
            let folder = run_folder(dir, name);
            let file = folder.join(RESULT);
            let time = file.metadata().and_then(|m| m.modified()).map_err(|e| Error::io(&file, "date", e))?;
            study.finished = study.finished.max(seconds(time));
            if !study.datasets.iter().any(|(d, _)| *d == result.dataset) {
                let pictures = study.shown(read_pictures(dir, &result.dataset))?;
                study.datasets.push((result.dataset.clone(), pictures));
            }
            let epochs = Done::read(&folder).and_then(|done| match done {
                Some(done) => finished_epochs(&folder, &done),
                None => Ok(Vec::new()),
            });
            let memorised = memorised(study.shown(epochs)?);
            study.runs.push(Run { result: result.clone(), level: NoiseLevel::of(result), memorised });
        }
        study.read_features(dir, &kept)?;
        study.index = Index::of(&study.runs);
        // A merged folder may hold cells of other grids. They count as planned.
        study.planned = study.planned.max(gathered.cells.len());
        Ok(study)
    }

    /// Reads the features of one run for each dataset, backbone and pretraining: a probe, whose backbone is as pretraining left
    /// it, or else the run with the least noise. Of equals the first is taken.
    fn read_features(&mut self, dir: &Path, kept: &[&(String, CellResult)]) -> Result<()> {
        let mut chosen: Vec<(&str, &CellResult)> = Vec::new();
        let rank = |r: &CellResult| (r.protocol == Protocol::Finetune, r.noise_kind != CLEAN, r.noise_rate);
        for (name, result) in kept.iter().copied() {
            let same = |c: &&mut (&str, &CellResult)| {
                (&c.1.dataset, &c.1.backbone, &c.1.pretraining)
                    == (&result.dataset, &result.backbone, &result.pretraining)
            };
            match chosen.iter_mut().find(same) {
                Some(best) if rank(result) < rank(best.1) => *best = (name, result),
                Some(_) => {}
                None => chosen.push((name, result)),
            }
        }
        chosen.sort_by_key(|c| c.1.pretraining != ssl::NONE);
        for (name, result) in chosen {
            let folder = run_folder(dir, name);
            let read = Done::read(&folder)
                .and_then(|done| done.map_or(Ok(None), |done| Projection::read(&folder, &done)))
                .map(Vec::from_iter);
            let projection = self.shown(read)?.pop();
            self.features.push(Features { result: result.clone(), projection });
        }
        Ok(())
    }

    /// Returns what was read. Damage leaves a gap and a sentence. An error would end the study before it could write
    /// the damaged part again.
    fn shown<T>(&mut self, read: Result<Vec<T>>) -> Result<Vec<T>> {
        match read {
            Err(e @ Error::Damaged { .. }) => {
                self.not_shown.push(e.to_string());
                Ok(Vec::new())
            }
            other => other,
        }
    }

    /// A sentence about a file, with its path from the study's folder on: a page says the same after the folder was moved.
    pub fn told_inside(&self, sentence: &str) -> String {
        if self.folder.is_empty() {
            return sentence.to_string();
        }
        let mut parts = sentence.split(&self.folder);
        let mut said = parts.next().unwrap_or_default().to_string();
        for part in parts {
            // A folder's path may be the end of another's, as ./ is of ../.
            let begins = !said.ends_with(|c: char| c.is_alphanumeric() || "._-/".contains(c));
            said = format!("{said}{}{part}", if begins { "" } else { &self.folder });
        }
        said
    }

    /// The lines of every plot: random weights first, then in the grid's order.
    pub fn series(&self) -> Vec<Series> {
        self.index.series.clone()
    }

    /// The noise kinds of the runs; `none` if all labels are clean.
    pub fn kinds(&self) -> Vec<String> {
        if self.index.kinds.is_empty() { vec![CLEAN.to_string()] } else { self.index.kinds.clone() }
    }

    /// The noise levels of `kind`, clean labels first.
    pub fn levels(&self, kind: &str) -> Vec<NoiseLevel> {
        let mut levels = self.index.levels.clone();
        levels.retain(|level| level.is_clean() || level.kind == kind);
        let place = |level: &NoiseLevel| (!level.is_clean(), level.rate.unwrap_or(1.0));
        levels.sort_by(|a, b| place(a).0.cmp(&place(b).0).then(place(a).1.total_cmp(&place(b).1)));
        levels
    }

    /// The repeats of one cell.
    pub fn repeats(&self, dataset: &str, level: &NoiseLevel, series: &Series) -> Vec<&Run> {
        let found = self.index.cells.get(&Index::key(dataset, level, series));
        found.into_iter().flatten().map(|&i| &self.runs[i]).collect()
    }

    /// A share of each row against noise rate, both in percent. Of a kind without a rate it is the share of labels that are
    /// wrong.
    pub fn line(&self, dataset: &str, kind: &str, series: &Series, of: fn(&CellResult) -> Option<f64>) -> Vec<Point> {
        let point = |level: NoiseLevel| {
            let repeats = self.repeats(dataset, &level, series);
            let s = Summary::of(&repeats.iter().filter_map(|r| of(&r.result)).map(|v| v * 100.0).collect::<Vec<_>>());
            let wrong = || mean(&repeats.iter().map(|r| r.result.realised_noise_rate).collect::<Vec<_>>());
            (s.n > 0).then(|| Point { x: level.rate.unwrap_or_else(wrong) * 100.0, y: s.mean, spread: s.std })
        };
        self.levels(kind).into_iter().filter_map(point).collect()
    }

    /// The share of wrong labels that training itself took for right, in percent against the epoch, mean over repeats.
    pub fn epochs_line(&self, dataset: &str, level: &NoiseLevel, series: &Series) -> Vec<Point> {
        let repeats = self.repeats(dataset, level, series);
        // Only epochs that exist are counted, because a number in a file may be of any size.
        let mut shares = BTreeMap::<usize, Vec<f64>>::new();
        for (epoch, share) in repeats.iter().flat_map(|r| &r.memorised) {
            shares.entry(*epoch).or_default().push(*share);
        }
        let point = |(epoch, of): (usize, Vec<f64>)| Point { x: epoch as f64, y: mean(&of) * 100.0, spread: None };
        shares.into_iter().map(point).collect()
    }

    /// The mean gain of each dataset. An interval over datasets is computed from these, not from repeats.
    pub fn dataset_gains(&self, level: &NoiseLevel, series: &Series) -> Vec<f64> {
        let all = self.datasets.iter().map(|(d, _)| self.gains(d, level, series));
        all.filter(|g| !g.is_empty()).map(|g| mean(&g)).collect()
    }

    /// The gain of `series` over random weights of the same backbone with the same method, in points of test accuracy, seed by seed.
    pub fn gains(&self, dataset: &str, level: &NoiseLevel, series: &Series) -> Vec<f64> {
        let random = Series { pretraining: ssl::NONE.to_string(), ..series.clone() };
        let before = self.repeats(dataset, level, &random);
        // If there are several runs of a seed, the first counts.
        let accuracy: HashMap<u64, f64> =
            before.iter().rev().map(|b| (b.result.seed, b.result.test_accuracy)).collect();
        let gain = |r: &&Run| Some((r.result.test_accuracy - accuracy.get(&r.result.seed)?) * 100.0);
        self.repeats(dataset, level, series).iter().filter_map(gain).collect()
    }
}

/// Each value once, in the order of their first occurrence.
pub(super) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
