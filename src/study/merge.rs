//! Merges the parts of a study that ran in several folders, for machines that share none. Finished cells and
//! pretrainings are copied, each file compared with what was written, and `done` last.

use super::config::Config;
use super::failure::forget_failure;
use super::folder::{Done, kept_config, locked, write_config};
use super::grid::cells;
use super::names::{AWAY, CONFIG, DONE, FAILED, KERNELS, RESULT};
use super::results::{read_pictures, write_pictures};
use crate::base::{Error, Result, files};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How many folders are copied at once. Each file is synced, so that a thread waits for the disk and not for a core, and
/// a disk syncs many files in about the time of one.
const AT_ONCE: usize = 32;

/// What a merge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Cells and pretrainings that were copied.
    pub copied: usize,
    /// Those that were there already.
    pub there: usize,
    /// A sentence for each that was not taken: damaged, or another result than the one that is there.
    pub left_out: Vec<String>,
}

/// Copies what is finished in the folders `parts` into `out`, which may be one that an earlier merge began. All must be of
/// one config, with the same grid. What differs from what is there is left out and told. Why a cell failed is copied where no
/// part finished it.
pub fn merge(parts: &[PathBuf], out: &Path) -> Result<Merged> {
    let mut merged = Merged::default();
    let mut config = if files::exists(&out.join(CONFIG))? { Some(kept_config(out)?) } else { None };
    let begun = config.is_some();
    // Nothing is written before every part is known to belong.
    for part in parts {
        let own = kept_config(part)?;
        match &config {
            Some(config) => expect_same(config, &own, part)?,
            None => config = Some(own),
        }
    }
    if let (Some(config), false) = (&config, begun) {
        write_config(out, config)?;
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(AT_ONCE).build();
    let pool = pool.map_err(|e| Error::Failed(format!("the threads that copy cannot start: {e}")))?;
    for part in parts {
        let table = part.join(KERNELS);
        if files::exists(&table)? && !files::exists(&out.join(KERNELS))? {
            files::write_atomic(&out.join(KERNELS), &files::read(&table)?)?;
        }
        for kind in ["pretraining", "runs"] {
            let mut folders: Vec<PathBuf> = match std::fs::read_dir(part.join(kind)) {
                Ok(entries) => entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect(),
                Err(_) => continue, // a part may have none
            };
            folders.sort();
            let copy = |folder: &PathBuf| {
                let name = folder.file_name().unwrap_or_default();
                taken(folder, &out.join(kind).join(name))
            };
            let found: Vec<Result<Taken>> = pool.install(|| folders.par_iter().map(copy).collect());
            for taken in found {
                match taken {
                    Ok(Taken::Copied) => merged.copied += 1,
                    Ok(Taken::There) => merged.there += 1,
                    Ok(Taken::Unfinished) => {}
                    Err(e @ (Error::Damaged { .. } | Error::Foreign(_))) => merged.left_out.push(e.to_string()),
                    Err(e) => return Err(e),
                }
            }
        }
        for entry in std::fs::read_dir(part.join("pictures")).into_iter().flatten().flatten() {
            let dataset = entry.file_name().to_string_lossy().into_owned();
            // Damaged pictures are told by the report of their own folder.
            if read_pictures(out, &dataset).is_ok_and(|pictures| pictures.is_empty()) {
                if let Ok(pictures) = read_pictures(part, &dataset) {
                    write_pictures(out, &dataset, &pictures)?;
                }
            }
        }
    }
    Ok(merged)
}

/// It is an error if a part has other settings than the first one, or another grid. Cells of another grid would lie in the
/// folder and be in no list of what is done or missing.
fn expect_same(config: &Config, own: &Config, part: &Path) -> Result<()> {
    let part = part.display();
    let differing = config.differences(own)?;
    if !differing.is_empty() {
        return Err(Error::Foreign(format!(
            "{part} is a study with other settings ({}); merge the parts of one config, each study into its own folder",
            differing.join("; ")
        )));
    }
    let names = |config| -> BTreeSet<String> { cells(config).into_iter().map(|cell| cell.name).collect() };
    let (all, of_part) = (names(config), names(own));
    let Some(first) = all.symmetric_difference(&of_part).next() else { return Ok(()) };
    let only = if of_part.contains(first) { "only it has" } else { "it does not have" };
    Err(Error::Foreign(format!(
        "{part} is a study of another grid: {} cells are not in both, and {only} {first}; merge parts that ran with the same \
         config, --data and --seeds, each its cells by --shard or --index",
        all.symmetric_difference(&of_part).count()
    )))
}

/// What became of a folder.
enum Taken {
    Copied,
    There,
    Unfinished,
}

/// Copies a finished folder, unless it is there.
fn taken(from: &Path, to: &Path) -> Result<Taken> {
    let Some(done) = Done::read(from)? else {
        keep_failure(from, to)?;
        return Ok(Taken::Unfinished);
    };
    if let Some(there) = Done::read(to)? {
        if there.address == done.address {
            return Ok(Taken::There);
        }
        let (from, to) = (from.display(), to.display());
        return Err(Error::Foreign(format!(
            "{from} and {to} are of one cell and were made from something else each (see their environment.json); the second is kept"
        )));
    }
    if to.exists() && !to.is_dir() {
        return Err(Error::damaged(to, "it is a file and no folder", AWAY));
    }
    locked(to, || {
        // The result is the last but `done`, so that a merge that stops leaves nothing that seems to be half a result.
        let mut names: Vec<&String> = done.files.keys().collect();
        names.sort_by_key(|name| name.as_str() == RESULT);
        for name in names {
            files::write_atomic(&to.join(name), &done.bytes(from, name)?)?;
        }
        forget_failure(to)?;
        files::write_atomic(&to.join(DONE), &files::read(&from.join(DONE))?)?;
        Ok(Taken::Copied)
    })
}

/// Copies why a folder could not be finished, so that the whole study tells it, too. A part that finished it says more.
fn keep_failure(from: &Path, to: &Path) -> Result<()> {
    let (path, kept) = (from.join(FAILED), to.join(FAILED));
    if !files::exists(&path)? || to.join(DONE).exists() || kept.exists() {
        return Ok(());
    }
    locked(to, || files::write_atomic(&kept, &files::read(&path)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::results::tests::{finish, sample};
    use crate::study::results::{CellResult, gather, run_folder, write_csv};

    #[test]
    fn parts_become_the_study_and_what_does_not_belong_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let config = Config::parse("t", "seeds = [0, 1]\n").unwrap();
        let grid = cells(&config);
        let row = |i: usize| CellResult { driver: format!("d{}", i / 3), ..sample(&grid[i], 0.5) };
        let put = |part: &str, of: &[usize]| {
            write_config(&path(part), &config).unwrap();
            of.iter().for_each(|&i| finish(&run_folder(&path(part), &grid[i].name), &row(i), &[]));
        };
        put("whole", &[0, 1, 2, 3, 4]);
        put("a", &[0, 1, 2]);
        put("b", &[2, 3, 4]);
        let parts = [path("a"), path("b")];
        std::fs::create_dir_all(run_folder(&parts[1], &grid[5].name)).unwrap(); // begun
        // A disk that was full in the midst of the first merge left this.
        let begun = run_folder(&path("m"), &grid[0].name);
        files::write_atomic(&begun.join("epochs.jsonl"), b"half").unwrap();
        let merged = merge(&parts, &path("m")).unwrap();
        assert_eq!(merged, Merged { copied: 5, there: 1, left_out: vec![] });
        let table = |of: &str| files::read(&write_csv(&path(of), &gather(&path(of)).unwrap()).unwrap()).unwrap();
        assert!(table("m") == table("whole"), "the table of one process");
        assert_eq!(merge(&parts, &path("m")).unwrap(), Merged { copied: 0, there: 6, left_out: vec![] });
        // Another result of a cell that is there, and a damaged one.
        put("c", &[0, 6]);
        let folder = |i: usize| run_folder(&path("c"), &grid[i].name);
        Done::write(&folder(0), "another", &[RESULT]).unwrap();
        std::fs::write(folder(6).join(RESULT), "{}").unwrap();
        let merged = merge(&[path("c")], &path("m")).unwrap();
        assert_eq!((merged.copied, merged.left_out.len()), (0, 2), "{merged:?}");
        assert!(merged.left_out.iter().any(|s| s.contains("the second is kept")), "{merged:?}");
        assert!(merged.left_out.iter().any(|s| s.contains("result.json is damaged")), "{merged:?}");
        assert!(table("m") == table("whole"), "nothing wrong is used");
        let other = Config::parse("t", "seeds = [0, 1]\n[training]\nepochs = 77\n").unwrap();
        write_config(&path("other"), &other).unwrap();
        let e = merge(&[path("other")], &path("m")).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("epochs"), "{e}");
        assert_eq!(merge(&[path("gone")], &path("m")).unwrap_err().exit_code(), 4);
    }

    /// A part of another grid is refused before anything is written.
    #[test]
    fn parts_of_another_grid_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let part = |name: &str, text: &str| {
            let path = dir.path().join(name);
            write_config(&path, &Config::parse("t", text).unwrap()).unwrap();
            path
        };
        let one = part("a", "seeds = [0, 1]\n[noise]\nrates = [0.0, 0.2]\n");
        let same = part("b", "seeds = [1, 0]\n[noise]\nrates = [0.2, 0.0]\n");
        let out = dir.path().join("m");
        for other in ["seeds = [0, 2]\n[noise]\nrates = [0.0, 0.2]\n", "seeds = [0, 1]\n[noise]\nrates = [0.0]\n"] {
            let e = merge(&[one.clone(), part("other", other)], &out).unwrap_err();
            assert!(e.exit_code() == 2 && e.to_string().contains("another grid"), "{e}");
            assert!(!out.exists(), "nothing is written");
        }
        merge(&[one, same], &out).unwrap();
        assert!(out.join(CONFIG).exists());
    }

    /// The reason of a cell that failed is kept, until a part that finished the cell is merged.
    #[test]
    fn a_failure_is_copied_where_no_part_finished_the_cell() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let config = Config::parse("t", "").unwrap();
        let grid = cells(&config);
        for part in ["failed", "whole"] {
            write_config(&path(part), &config).unwrap();
        }
        files::write_atomic(&run_folder(&path("failed"), &grid[0].name).join(FAILED), b"why").unwrap();
        finish(&run_folder(&path("whole"), &grid[0].name), &sample(&grid[0], 0.5), &[]);
        let kept = run_folder(&path("m"), &grid[0].name).join(FAILED);
        merge(&[path("failed")], &path("m")).unwrap();
        assert_eq!(files::read(&kept).unwrap(), b"why");
        assert_eq!(merge(&[path("whole")], &path("m")).unwrap().copied, 1);
        assert!(!kept.exists(), "a finished cell has not failed");
        merge(&[path("failed")], &path("m")).unwrap();
        assert!(!kept.exists());
    }
}
