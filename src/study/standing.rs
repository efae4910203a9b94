//! How far a study is: the state of each cell of its grid, and the time that is left. It reads what finished cells
//! wrote and looks at locks, and writes nothing.

use super::config::Config;
use super::failure::Failure;
use super::folder::{Done, busy};
use super::grid::Cell;
use super::names::{EPOCHS, RESULT};
use super::pretrain::folder_begins;
use super::provenance::Provenance;
use super::results::{CellResult, PretrainResult, finished_cell, run_folder};
use crate::base::{Error, Result, files};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The state of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum CellState {
    /// It is finished, after these seconds.
    Done(f64),
    /// A process works on it, and so many of its epochs are done.
    Running {
        /// Epochs that are done.
        done: usize,
        /// Epochs in all; 0 for a probe.
        epochs: usize,
    },
    /// It failed, for this reason.
    Failed(String),
    /// It has not begun, or was stopped and goes on.
    Waiting,
    /// Its files are not what was written, for this reason.
    Damaged(String),
}

impl CellState {
    /// The state in a word.
    pub fn word(&self) -> &'static str {
        match self {
            CellState::Done(_) => "done",
            CellState::Running { .. } => "running",
            CellState::Failed(_) => "failed",
            CellState::Waiting => "waiting",
            CellState::Damaged(_) => "damaged",
        }
    }

    /// Why it is not done, if something stopped it.
    pub fn reason(&self) -> Option<&str> {
        match self {
            CellState::Failed(why) | CellState::Damaged(why) => Some(why),
            _ => None,
        }
    }
}

/// How far a study is.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The state of each cell of the grid, in its order.
    pub cells: Vec<CellState>,
    /// How many processes work at cells and pretrainings.
    pub processes: usize,
    /// Seconds until all cells are done that did not fail, with the processes of now and at least one. `None` if no
    /// cell is done yet, or a pretraining is left and none is done.
    pub left_s: Option<f64>,
}

impl Standing {
    /// The words of the states that there are, with the number of their cells.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        let words = ["done", "running", "failed", "waiting", "damaged"];
        words.map(|word| (word, self.cells.iter().filter(|c| c.word() == word).count())).to_vec()
    }
}

/// How far the study of `config` in the folder `out` is, whose cells are `grid`.
pub fn standing(out: &Path, config: &Config, grid: &[Cell]) -> Result<Standing> {
    let mut cells = Vec::with_capacity(grid.len());
    let mut seconds = Means::default();
    // Each cell's files are looked at, and there may be a hundred thousand cells.
    let states = grid.par_iter().map(|cell| state_of(out, config, cell)).collect::<Result<Vec<_>>>()?;
    for (cell, (state, row)) in grid.iter().zip(states) {
        if let Some(row) = row {
            seconds.add(cell, row.seconds);
        }
        cells.push(state);
    }
    let pretrainings = Pretrainings::read(out)?;
    let running = cells.iter().filter(|c| matches!(c, CellState::Running { .. })).count();
    let processes = running + pretrainings.running;
    let mut left = Some(0.0);
    let mut due = BTreeSet::new();
    for (cell, state) in grid.iter().zip(&cells) {
        let part = match state {
            CellState::Waiting => 1.0,
            CellState::Running { done, epochs } => 1.0 - *done as f64 / (*epochs).max(1) as f64,
            _ => continue,
        };
        left = left.zip(seconds.of(cell)).map(|(all, s)| all + part.max(0.0) * s);
        if cell.pretrained_by().is_some() {
            due.insert((folder_begins(cell), &*cell.backbone));
        }
    }
    due.retain(|(begins, backbone)| {
        !pretrainings.done.iter().any(|(name, arch)| name.starts_with(begins) && arch.as_deref() == Some(*backbone))
    });
    if !due.is_empty() {
        left = left.zip(pretrainings.mean_s).map(|(all, s)| all + due.len() as f64 * s);
    }
    Ok(Standing { cells, processes, left_s: left.map(|s| s / processes.max(1) as f64) })
}

/// The state of a cell, and its row if it is done.
fn state_of(out: &Path, config: &Config, cell: &Cell) -> Result<(CellState, Option<CellResult>)> {
    let folder = run_folder(out, &cell.name);
    if !folder.try_exists().unwrap_or(true) {
        return Ok((CellState::Waiting, None));
    }
    let found = finished_cell(&folder, Some(cell), Done::check_sizes);
    if let Ok(Some(row)) = found {
        return Ok((CellState::Done(row.seconds), Some(row)));
    }
    // A half-written folder is not damaged while a process works in it.
    if busy(&folder).unwrap_or(false) {
        let done = files::bytes(&folder.join(EPOCHS)).map_or(0, |b| b.iter().filter(|b| **b == b'\n').count());
        let epochs = config.learning_of(&cell.method).map_or(0, |l| l.optimization.epochs);
        return Ok((CellState::Running { done, epochs }, None));
    }
    let state = match found {
        Err(e @ (Error::Damaged { .. } | Error::Foreign(_))) => CellState::Damaged(e.to_string()),
        Err(e) => return Err(e),
        Ok(_) => Failure::read(&folder).map_or(CellState::Waiting, |f| CellState::Failed(f.reason)),
    };
    Ok((state, None))
}

/// Dataset, backbone, method and protocol: what decides most of a cell's seconds.
type Alike = (Arc<str>, Arc<str>, Arc<str>, &'static str);

/// Mean seconds of finished cells, by what decides most of them.
#[derive(Default)]
struct Means {
    of: BTreeMap<Alike, (f64, usize)>,
    all: (f64, usize),
}

impl Means {
    fn key(cell: &Cell) -> Alike {
        (cell.dataset.clone(), cell.backbone.clone(), cell.method.clone(), cell.protocol.name())
    }

    fn add(&mut self, cell: &Cell, seconds: f64) {
        for sum in [self.of.entry(Means::key(cell)).or_default(), &mut self.all] {
            *sum = (sum.0 + seconds, sum.1 + 1);
        }
    }

    /// The mean of cells of the same dataset, backbone, method and protocol, else of all. `None` if none is finished.
    fn of(&self, cell: &Cell) -> Option<f64> {
        let (sum, n) = self.of.get(&Means::key(cell)).copied().unwrap_or(self.all);
        (n > 0).then(|| sum / n as f64)
    }
}

/// What the folder of pretrainings holds.
struct Pretrainings {
    /// The names of finished ones, each with its backbone.
    done: Vec<(String, Option<String>)>,
    /// Their mean seconds.
    mean_s: Option<f64>,
    /// How many are being made.
    running: usize,
}

impl Pretrainings {
    fn read(out: &Path) -> Result<Pretrainings> {
        let (mut found, mut seconds) = (Pretrainings { done: Vec::new(), mean_s: None, running: 0 }, Vec::new());
        for entry in std::fs::read_dir(out.join("pretraining")).into_iter().flatten().flatten() {
            let folder = entry.path();
            // Damage is told where it is met.
            match Done::read(&folder) {
                Ok(Some(done)) => {
                    let arch = Provenance::of(&folder).ok();
                    let arch = arch.and_then(|made| Some(made.settings["model"]["arch"].as_str()?.to_string()));
                    found.done.push((entry.file_name().to_string_lossy().into_owned(), arch));
                    let result = done.text(&folder, RESULT).ok();
                    let result = result.and_then(|text| serde_json::from_str::<PretrainResult>(&text).ok());
                    seconds.extend(result.map(|r| r.seconds));
                }
                _ => found.running += usize::from(busy(&folder).unwrap_or(false)),
            }
        }
        found.mean_s = (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seal;
    use crate::study::cells;
    use crate::study::folder::locked;
    use crate::study::names::{ENVIRONMENT, FAILED};
    use crate::study::results::tests::{finish, sample};
    use crate::study::results::write_pretrained;

    #[test]
    fn each_cell_has_a_state_and_the_study_a_time_left() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path();
        let config = Config::parse("t", "seeds = [0, 1, 2]\n[pretraining]\nmethods = [\"none\"]\n").unwrap();
        let grid = cells(&config);
        assert_eq!(grid.len(), 6);
        let folder = |i: usize| run_folder(out, &grid[i].name);
        let fresh = standing(out, &config, &grid).unwrap();
        assert_eq!((fresh.counts()[3], fresh.left_s, fresh.processes), (("waiting", 6), None, 0));
        let row = |i: usize, seconds| CellResult { seconds, ..sample(&grid[i], 0.5) };
        finish(&folder(0), &row(0, 8.0), &[]);
        finish(&folder(1), &row(1, 12.0), &[]);
        finish(&folder(2), &row(2, 1.0), &[]);
        std::fs::write(folder(2).join(RESULT), "{").unwrap();
        let why =
            Failure { reason: "no".into(), exit_code: 1, address: "a".into(), wgslab: "0".into(), adapter: "a".into() };
        seal::write(&folder(3).join(FAILED), &why).unwrap();
        let at_work = locked(&folder(4), || {
            std::fs::write(folder(4).join(EPOCHS), "\n".repeat(config.training.optimization.epochs / 2)).unwrap();
            standing(out, &config, &grid)
        });
        let Standing { cells, processes, left_s } = at_work.unwrap();
        let words: Vec<&str> = cells.iter().map(CellState::word).collect();
        assert_eq!(words, ["done", "done", "damaged", "failed", "running", "waiting"]);
        assert_eq!((cells[3].reason(), processes), (Some("no"), 1));
        assert!(cells[2].reason().unwrap().contains("result.json is damaged"), "{cells:?}");
        // Two cells took 10 s on average; one and a half are left.
        let due = 10.0
            * (2.0 - (config.training.optimization.epochs / 2) as f64 / config.training.optimization.epochs as f64);
        assert!((left_s.unwrap() - due).abs() < 1e-9, "{left_s:?}");
        let stopped = standing(out, &config, &grid).unwrap();
        assert_eq!((stopped.cells[4].word(), stopped.processes), ("waiting", 0), "a process that ended works no more");
    }

    /// Backbones take their own time, and a pretraining of one is none of another.
    #[test]
    fn backbones_are_counted_apart() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path();
        let text = "backbones = [\"resnet18\", \"vit_tiny\"]\nseeds = [0, 1]\n[noise]\nrates = [0.0]\n[pretraining]\nmethods = [\"simclr\"]\n";
        let config = Config::parse("t", text).unwrap();
        let grid = cells(&config);
        assert_eq!(
            grid.iter().map(|c| (&*c.backbone, c.seed)).collect::<Vec<_>>(),
            [("resnet18", 0), ("resnet18", 1), ("vit_tiny", 0), ("vit_tiny", 1)]
        );
        for (i, seconds) in [(0, 10.0), (2, 100.0)] {
            finish(&run_folder(out, &grid[i].name), &CellResult { seconds, ..sample(&grid[i], 0.5) }, &[]);
        }
        let result = PretrainResult {
            dataset: grid[0].dataset.to_string(),
            method: "simclr".into(),
            seed: 1,
            epochs: 1,
            steps: 1,
            precision: Default::default(),
            train_images: 1,
            loss: None,
            feature_std: 1.0,
            effective_rank: 1.0,
            collapsed: false,
            seconds: 7.0,
            adapter: String::new(),
        };
        let made = serde_json::json!({
            "address": "", "settings": { "model": { "arch": "resnet18" } }, "data_fingerprint": "", "start": "", "kernels": "",
            "results": 1, "wgslab": "", "adapter": "", "driver": "", "backend": "",
        });
        let folder = out.join("pretraining").join(folder_begins(&grid[1]) + "a");
        seal::write(&folder.join(ENVIRONMENT), &made).unwrap();
        write_pretrained(&folder, &result).unwrap();
        Done::write(&folder, "a", &[ENVIRONMENT, RESULT]).unwrap();
        // The two cells of seed 1, and the pretraining of one of them.
        assert_eq!(standing(out, &config, &grid).unwrap().left_s, Some(10.0 + 100.0 + 7.0));
    }
}
