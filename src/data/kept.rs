//! Which sets a [`cache`](super::cache) folder keeps: those that were used last, as many as it may hold.

use crate::base::files;
use crate::tape::demand::size;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The ending of the empty file beside a cache file whose time says when that was used last.
const USED: &str = "used";

/// Marks a cache file as used now. Where that cannot be written, it counts as used when it was made.
pub(super) fn mark_used(path: &Path) {
    let _ = files::write_atomic(&path.with_extension(USED), b"");
}

/// A set in a cache folder.
struct Kept {
    /// What its files begin with.
    key: String,
    files: Vec<PathBuf>,
    bytes: u64,
    /// The file whose time says when the set was used last.
    used: PathBuf,
}

/// The sets in a cache folder. Files of other names are not looked at.
fn kept(folder: &Path) -> Vec<Kept> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_file()).collect();
    let ends = |p: &Path, end: &str| p.extension().is_some_and(|e| e == end);
    let mut of_key: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in paths.into_iter().filter(|p| ["safetensors", "pages", USED].iter().any(|end| ends(p, end))) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        of_key.entry(name.split('.').next().unwrap_or_default().to_string()).or_default().push(path);
    }
    let one = |(key, mut files): (String, Vec<PathBuf>)| {
        // The file that names the others goes first: without it nothing reads them. A process that was killed may have left
        // pages alone.
        files.sort_by_cached_key(|p| (!ends(p, "safetensors"), p.clone()));
        let bytes = files.iter().filter_map(|p| p.metadata().ok()).map(|m| m.len()).sum();
        let used = files.iter().find(|p| ends(p, USED)).or(files.first()).cloned().unwrap_or_default();
        Kept { key, files, bytes, used }
    };
    of_key.into_iter().filter(|(key, _)| !key.is_empty()).map(one).collect()
}

/// Removes sets from a cache folder that holds more than `most` bytes, the one that was used longest ago first, until it holds
/// no more or none is left that `is_old` says may go, by the file whose time is that of the last use. Gives a sentence for each.
/// Whoever needs one again decodes it again.
pub fn trim(folder: &Path, most: u64, is_old: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut all = kept(folder);
    let mut held: u64 = all.iter().map(|k| k.bytes).sum();
    all.sort_by_cached_key(|k| (k.used.metadata().and_then(|m| m.modified()).ok(), k.key.clone()));
    let mut said = Vec::new();
    for old in all {
        if held <= most {
            break;
        }
        if !is_old(&old.used) || !old.files.iter().all(|p| std::fs::remove_file(p).is_ok()) {
            continue; // in use, or not ours to remove
        }
        held -= old.bytes;
        said.push(format!(
            "{}/{} was removed: these decoded images ({}) were not used for long, and the folder held more than data.max_bytes",
            folder.display(),
            old.key,
            size(old.bytes)
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::write_png;
    use crate::data::{LoadOptions, Paging};

    #[test]
    fn a_folder_that_holds_too_much_loses_what_was_used_longest_ago() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        (0..8)
            .for_each(|i| write_png(&root.join(format!("set/{}/c/{i}.png", ["train", "test"][i as usize / 4])), i, 12));
        let cache = root.join("cache");
        let load = |store_size: usize| {
            let paging = Some(Paging { resident_bytes: 0, folder: cache.clone() });
            let cache = Some(cache.clone());
            let options = LoadOptions { store_size, cache, paging, ..crate::data::testing::options(root, 1) };
            let decoded = std::cell::Cell::new(0);
            crate::data::load("set", &options, &|done, _| decoded.set(done)).unwrap();
            decoded.get()
        };
        assert_eq!([8, 9, 10].map(load), [8; 3]);
        std::fs::write(cache.join("notes.txt"), "mine").unwrap();
        // Times of a file system may be too coarse to tell three loads apart.
        let mut sets = kept(&cache);
        sets.sort_by_key(|k| k.bytes);
        let now = sets[0].used.metadata().unwrap().modified().unwrap();
        let age = |at: usize, hours: u64| {
            let file = std::fs::File::options().write(true).open(&sets[at].used).unwrap();
            file.set_modified(now - std::time::Duration::from_secs(hours * 3600)).unwrap();
        };
        (0..3).for_each(|i| age(i, 10 - i as u64));
        assert_eq!(load(8), 0, "and it is marked as used now");
        let bytes = kept(&cache).iter().map(|k| k.bytes).sum::<u64>();
        assert!(trim(&cache, bytes, &|_| true).is_empty() && trim(&cache, 0, &|_| false).is_empty());
        let said = trim(&cache, bytes - 1, &|_| true);
        assert!(said.len() == 1 && said[0].contains(&sets[1].key), "{said:?}");
        assert_eq!([load(8), load(10), load(9)], [0, 0, 8]);
        assert_eq!(trim(&cache, 0, &|_| true).len(), 3);
        assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 1, "another file stays");
    }
}
