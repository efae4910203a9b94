//! Merges the parts of a study that ran in several folders, for machines that share none. Finished cells and
//! pretrainings are copied, each file compared with what was written, and `done` last.

use super::folder::{Done, kept_config, locked, write_config};
use super::names::{AWAY, CONFIG, DONE, KERNELS, RESULT};
use super::results::{read_pictures, write_pictures};
use crate::base::{Error, Result, files};
use std::path::{Path, PathBuf};

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
/// one config. What differs from what is there is left out and told.
pub fn merge(parts: &[PathBuf], out: &Path) -> Result<Merged> {
    let mut merged = Merged::default();
    let mut config = if files::exists(&out.join(CONFIG))? { Some(kept_config(out)?) } else { None };
    for part in parts {
        let own = kept_config(part)?;
        let differing = config.as_ref().map(|config| config.differences(&own)).transpose()?.unwrap_or_default();
        if !differing.is_empty() {
            return Err(Error::Foreign(format!(
                "{} is a study with other settings ({}); merge the parts of one config, each study into its own folder",
                part.display(),
                differing.join("; ")
            )));
        }
        if config.is_none() {
            write_config(out, &own)?;
            config = Some(own);
        }
    }
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
            for folder in folders {
                let name = folder.file_name().unwrap_or_default().to_owned();
                match taken(&folder, &out.join(kind).join(name)) {
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

/// What became of a folder.
enum Taken {
    Copied,
    There,
    Unfinished,
}

/// Copies a finished folder, unless it is there.
fn taken(from: &Path, to: &Path) -> Result<Taken> {
    let Some(done) = Done::read(from)? else { return Ok(Taken::Unfinished) };
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
        files::write_atomic(&to.join(DONE), &files::read(&from.join(DONE))?)?;
        Ok(Taken::Copied)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::results::tests::{finish, sample};
    use crate::study::results::{CellResult, gather, run_folder, write_csv};
    use crate::study::{Config, cells};

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
}
