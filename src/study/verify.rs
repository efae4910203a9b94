//! Runs finished cells of a study again, in another folder, and compares what comes out with what is there.

use super::folder::Done;
use super::grid::{Cell, cells};
use super::names::{CONFIG, DONE, ENVIRONMENT, EPOCHS, LABELS, RESULT, STEPS};
use super::provenance::Provenance;
use super::results::{CellResult, finished_cell, finished_epochs, run_folder};
use super::session::Job;
use crate::base::rng::Rng;
use crate::base::{Error, Result, seal};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// The random stream of the choice of cells.
const CHOICE: u32 = 0x7665_7269; // "veri"

/// Where something else runs a cell again, the test accuracies may differ by this, or by three standard errors of the
/// difference of two shares of as many images, if that is more.
const ACCURACY: f64 = 0.02;

/// And the mean losses of the first epoch by this share.
const LOSS: f64 = 0.05;

/// What became of a cell that was run again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verified {
    /// The name of its folder.
    pub cell: String,
    /// In what differs what ran it then and now. Empty if nothing does: then the bits are compared, else numbers.
    pub ran_by_different: Vec<String>,
    /// What was compared and is the same, or within the tolerance that it names.
    pub agrees: Vec<String>,
    /// What differs.
    pub differs: Vec<String>,
}

impl Job<'_> {
    /// Runs `count` finished cells of the study in the job's folder again, below the folder `again`, and compares them.
    /// `seed` chooses the cells. Each is made from nothing, with its pretraining. With the same program, adapter, driver
    /// and kernels every file must have the same bits, times aside; else its numbers must be close.
    pub fn verify(&self, again: &Path, count: usize, seed: u64) -> Result<Vec<Verified>> {
        let grid = cells(self.config);
        let chosen = chosen(self.out, &grid, (count, seed), &|line| self.progress.note(line))?;
        let job = Job { out: again, kernels: self.kernels.clone(), ..*self };
        let (mut loaded, mut all) = (None, Vec::new());
        for (cell, row) in &chosen {
            if loaded.as_ref().is_none_or(|l: &super::dataset::Loaded| *l.spec != *cell.spec) {
                drop(loaded.take()); // frees the pages of its images before the next are made
                loaded = Some(job.load(&cell.spec)?);
            }
            let Some(set) = &loaded else { continue };
            let now = job.cell_once(cell, set, (true, &mut BTreeSet::new()))?;
            all.push(compare((cell, self.out, again), row, &now)?);
        }
        Ok(all)
    }
}

/// Chooses `count` finished cells of the study in `out`, or all if there are fewer, in the grid's order, with their rows.
/// What is damaged cannot be compared with anything: `say` gets its reason, and another cell is taken.
fn chosen<'a>(
    out: &Path,
    grid: &'a [Cell],
    (count, seed): (usize, u64),
    say: &dyn Fn(&str),
) -> Result<Vec<(&'a Cell, CellResult)>> {
    let ended: Vec<&Cell> = grid.iter().filter(|cell| run_folder(out, &cell.name).join(DONE).exists()).collect();
    let mut chosen = Vec::new();
    // Every file of a cell is compared with its checksum, so only of cells that are taken.
    for i in Rng::new(seed, CHOICE, 0).permutation(ended.len()) {
        if chosen.len() == count {
            break;
        }
        match finished_cell(&run_folder(out, &ended[i].name), Some(ended[i]), Done::check) {
            Ok(row) => chosen.extend(row.map(|row| (ended[i], row))),
            Err(e @ (Error::Damaged { .. } | Error::Foreign(_))) => say(&format!("not chosen: {e}")),
            Err(e) => return Err(e),
        }
    }
    if chosen.is_empty() {
        let out = out.display();
        return Err(Error::Data(format!(
            "{out} holds no finished cell of its config that is whole; run the study first"
        )));
    }
    chosen.sort_by_key(|(cell, _)| cell.index); // cells of one dataset are neighbours
    Ok(chosen)
}

/// Compares a cell of two studies.
fn compare((cell, out, again): (&Cell, &Path, &Path), row: &CellResult, now: &CellResult) -> Result<Verified> {
    let folders = [out, again].map(|dir| run_folder(dir, &cell.name));
    let [before, after] = folders.each_ref().map(|f| Provenance::of(f));
    let (before, after) = (before?, after?);
    let mut found = Verified {
        cell: cell.name.clone(),
        ran_by_different: before.ran_by_different(&after),
        agrees: Vec::new(),
        differs: before.made_from_different(&after),
    };
    let [old, new] = folders.each_ref().map(|f| Done::read(f));
    let (Some(old), Some(new)) = (old?, new?) else {
        return Err(Error::Failed(format!("{} was run again and is not finished", cell.name)));
    };
    let files = [(&folders[0], &old), (&folders[1], &new)];
    if found.ran_by_different.is_empty() {
        for name in old.files.keys().filter(|name| ![CONFIG, ENVIRONMENT].contains(&name.as_str())) {
            same_bits(name, files, &mut found)?;
        }
        return Ok(found);
    }
    same_bits(LABELS, files, &mut found)?;
    let (a, b) = (row.test_accuracy, now.test_accuracy);
    let error = ((a * (1.0 - a) + b * (1.0 - b)) / row.test_images.max(1) as f64).sqrt();
    let allowed = ACCURACY.max(3.0 * error);
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let said = format!("test accuracy {} and {}, {:.2} points allowed", percent(a), percent(b), allowed * 100.0);
    if (a - b).abs() <= allowed {
        found.agrees.push(said)
    } else {
        found.differs.push(said)
    }
    let first = |(folder, done): (&std::path::PathBuf, &Done)| -> Result<Option<f64>> {
        Ok(finished_epochs(folder, done)?.first().map(|e| e.loss))
    };
    if let (Some(a), Some(b)) = (first(files[0])?, first(files[1])?) {
        let said = format!("loss of the first epoch {a:.4} and {b:.4}, {} % allowed", LOSS * 100.0);
        if (a - b).abs() <= LOSS * a.abs() { found.agrees.push(said) } else { found.differs.push(said) }
    }
    Ok(found)
}

/// Compares a file of two finished folders, times aside.
fn same_bits(name: &str, files: [(&std::path::PathBuf, &Done); 2], found: &mut Verified) -> Result<()> {
    let [(folder, done), (other, made)] = files;
    let before = done.bytes(folder, name)?;
    if !made.files.contains_key(name) {
        found.differs.push(format!("{name}, which it has no more"));
        return Ok(());
    }
    let after = made.bytes(other, name)?;
    match (timeless(name, &before), timeless(name, &after)) {
        (a, b) if a == b => found.agrees.push(name.to_string()),
        (a, b) => {
            let at = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
            let (a, b) = (a.len(), b.len());
            let sizes = if a == b { String::new() } else { format!(", {a} bytes and {b}") };
            found.differs.push(format!("{name} (from byte {at}{sizes})"));
        }
    }
    Ok(())
}

/// The bytes of a file without the times in it.
fn timeless(name: &str, bytes: &[u8]) -> Vec<u8> {
    let plain = |text: &str| match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(mut object)) => {
            for key in ["seconds", "images_per_s", "elapsed_s", seal::CHECKSUM] {
                object.remove(key);
            }
            Value::Object(object).to_string() + "\n"
        }
        _ => text.to_string(),
    };
    match (name, std::str::from_utf8(bytes)) {
        (RESULT, Ok(text)) => plain(text).into_bytes(),
        (EPOCHS | STEPS, Ok(text)) => text.lines().map(plain).collect::<String>().into_bytes(),
        _ => bytes.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::files;
    use crate::study::results::tests::{finish, sample};
    use crate::study::testing::{Heard, with_job};
    use crate::study::{Config, Manner, Selection};
    use std::cell::RefCell;

    #[test]
    fn a_damaged_or_half_done_cell_is_not_chosen_and_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (out, grid) = (dir.path(), cells(&Config::parse("t", "seeds = [0, 1, 2]\n").unwrap()));
        let folder = |i: usize| run_folder(out, &grid[i].name);
        let told = RefCell::new(Vec::new());
        let choose = |count| chosen(out, &grid, (count, 7), &|line| told.borrow_mut().push(line.to_string()));
        assert_eq!(choose(1).unwrap_err().exit_code(), 4, "nothing is finished");
        for i in [0, 1, 2, 3] {
            finish(&folder(i), &sample(&grid[i], 0.5), &[]);
        }
        std::fs::write(folder(1).join(RESULT), "{}").unwrap();
        std::fs::remove_file(folder(2).join(DONE)).unwrap();
        let names = |count| choose(count).unwrap().iter().map(|(cell, _)| cell.index).collect::<Vec<_>>();
        assert_eq!(names(9), [0, 3]);
        assert!(told.borrow().len() == 1 && told.borrow()[0].contains("result.json is damaged"), "{told:?}");
        assert!([0, 3].contains(&names(1)[0]) && names(1).len() == 1);
    }

    /// A cell with a pretraining is run again to the same bits; a number or a bit that is not what it gives is named, and
    /// what another driver ran is compared by numbers.
    #[test]
    fn a_cell_run_again_has_the_same_bits_and_a_changed_one_is_named() {
        let text = "[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 8\nimage_size = 8\n[model]\n\
                    width = 0.0625\n[pretraining]\nmethods = [\"simclr\"]\nepochs = 1\nwarmup_epochs = 0\nbatch_size = 8\n\
                    simclr.projection_dims = [8, 4]\n[noise]\nrates = [0.4]\n[training]\nepochs = 1\nbatch_size = 8\n\
                    warmup_epochs = 0\n[evaluation]\nbatch_size = 8\n";
        with_job(text, &Heard::default(), |job| {
            let temp = tempfile::tempdir().unwrap();
            assert_eq!(job.verify(temp.path(), 1, 0).unwrap_err().exit_code(), 4, "nothing is finished");
            job.run(Selection::All, Manner::default()).unwrap();
            let verified = || job.verify(temp.path(), 5, 0).unwrap().pop().unwrap();
            let found = verified();
            assert!(found.differs.is_empty() && found.ran_by_different.is_empty(), "{found:?}");
            for name in ["backbone.safetensors", "state.safetensors", "predictions.npz", "labels.csv", "result.json"] {
                assert!(found.agrees.iter().any(|a| a == name), "{name} is not compared: {found:?}");
            }
            // What is there is whole, but no run gives it. What was run again stays as it is.
            let folder = run_folder(job.out, &cells(job.config)[0].name);
            let again = |change: &dyn Fn()| {
                change();
                let done = Done::read(&folder).unwrap().unwrap();
                let names: Vec<&str> = done.files.keys().map(String::as_str).collect();
                Done::write(&folder, &done.address, &names).unwrap();
                verified()
            };
            let path = |name: &str| folder.join(name);
            let result = files::read_text(&path(RESULT)).unwrap();
            let mut row: Value = serde_json::from_str(&result).unwrap();
            row["test_accuracy"] = 0.0.into();
            let found = again(&|| std::fs::write(path(RESULT), row.to_string()).unwrap());
            assert!(found.differs.len() == 1 && found.differs[0].starts_with("result.json (from byte "), "{found:?}");
            let mut environment: Value = serde_json::from_str(&files::read_text(&path(ENVIRONMENT)).unwrap()).unwrap();
            environment["driver"] = "another".into();
            let found = again(&|| seal::write(&path(ENVIRONMENT), &environment).unwrap());
            assert!(found.ran_by_different.len() == 1 && found.ran_by_different[0].contains("another"), "{found:?}");
            assert!(found.differs.len() == 1 && found.differs[0].starts_with("test accuracy 0.00 % and "), "{found:?}");
            let found = again(&|| std::fs::write(path(RESULT), &result).unwrap());
            assert!(found.differs.is_empty() && found.agrees.len() == 3, "numbers are compared, not bits: {found:?}");
            environment["data_fingerprint"] = "other".into();
            let found = again(&|| seal::write(&path(ENVIRONMENT), &environment).unwrap());
            assert_eq!(found.differs, ["data"]);
        });
    }
}
