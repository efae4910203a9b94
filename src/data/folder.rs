//! Folders of class folders, with or without split folders (train, val/valid/validation, test, in any case).

use crate::base::{Error, Result};
use crate::data::Split;
use crate::data::decode::{Entry, Listing, is_image, name_of};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Lists the images under `root`, sorted by name.
pub fn list(root: &Path) -> Result<Listing> {
    let mut listing = Listing { name: name_of(root), ..Listing::default() };
    for (split, folder) in split_folders(root)? {
        let classes = class_folders(&folder)?;
        if split == Split::Train {
            listing.classes = classes.iter().map(|(name, _)| name.clone()).collect();
        }
        let mut entries = Vec::new();
        for (class, folder) in classes {
            let label = listing.classes.iter().position(|c| *c == class).ok_or_else(|| {
                let known = listing.classes.join(", ");
                Error::Data(format!("{} is a class that train does not have; train has {known}", folder.display()))
            })?;
            entries.extend(images_of(root, &folder, label as u32)?);
        }
        listing.files[split as usize] = Some(entries);
    }
    Ok(listing)
}

/// The split folders under `root`, train first; `root` itself where it holds class folders.
fn split_folders(root: &Path) -> Result<Vec<(Split, PathBuf)>> {
    let children = class_folders(root)?;
    let mut found: Vec<(Split, PathBuf)> = Vec::new();
    let mut other = None;
    for (name, path) in children {
        match Split::parse(&name) {
            None => other = Some(name),
            Some(split) => {
                if let Some((_, twin)) = found.iter().find(|(s, _)| *s == split) {
                    let (a, b) = (twin.display(), path.display());
                    return Err(Error::Data(format!("{a} and {b} both name the {} split; keep one", split.name())));
                }
                found.push((split, path));
            }
        }
    }
    match (found.is_empty(), other) {
        (true, _) => Ok(vec![(Split::Train, root.to_path_buf())]),
        (false, Some(other)) => Err(Error::Data(format!(
            "{} holds split folders and also '{other}'; keep split folders only, or class folders only",
            root.display()
        ))),
        (false, None) if found.iter().all(|(s, _)| *s != Split::Train) => {
            Err(Error::Data(format!("{} holds split folders but none called train", root.display())))
        }
        (false, None) => {
            found.sort_by_key(|(s, _)| *s as usize);
            Ok(found)
        }
    }
}

/// The folders in `folder` by name, hidden ones aside. An image beside them has no class, which is an error.
fn class_folders(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, "list", e))? {
        let path = entry.map_err(|e| Error::io(folder, "list", e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            out.push((name, path));
        } else if is_image(&path) {
            return Err(Error::Data(format!("{} stands outside any class folder; move it into one", path.display())));
        }
    }
    if out.is_empty() {
        return Err(Error::Data(format!("{} holds no class folders", folder.display())));
    }
    out.sort();
    Ok(out)
}

/// The images anywhere under a class folder, sorted by name; none at all is an error.
fn images_of(root: &Path, folder: &Path, label: u32) -> Result<Vec<Entry>> {
    let mut out = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true) {
        let entry = entry.map_err(|e| Error::Data(format!("cannot list {}: {e}", folder.display())))?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type().is_file() && !hidden && is_image(entry.path()) {
            let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
            let name = relative.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
            out.push(Entry { path: entry.path().to_path_buf(), name, label });
        }
    }
    if out.is_empty() {
        return Err(Error::Data(format!(
            "the class folder {} holds no image (jpg, jpeg, png, bmp, tif, tiff); fill it or remove it",
            folder.display()
        )));
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{complaint, options, write_png};
    use crate::data::{inspect, load};

    fn small(root: &Path) {
        for (s, split) in ["Train", "VALID", "test"].iter().enumerate() {
            for (c, class) in ["b", "a"].iter().enumerate() {
                for i in 0..3 {
                    let seed = 100 * s as u64 + 10 * c as u64 + i;
                    write_png(&root.join(format!("{split}/{class}/{i}.png")), seed, 10);
                }
            }
        }
    }

    #[test]
    fn splits_classes_and_names_are_sorted() {
        let dir = tempfile::tempdir().unwrap();
        small(dir.path());
        let told = std::cell::Cell::new((0, 0));
        let data = load(".", &options(dir.path(), 3), &|done, total| told.set((done, total))).unwrap();
        assert_eq!(told.get(), (18, 18));
        assert_eq!(data.classes, ["a", "b"]);
        assert_eq!((data.train.len(), data.val.len(), data.test.len()), (6, 6, 6));
        assert_eq!(data.train.labels, [0, 0, 0, 1, 1, 1]);
        assert_eq!(data.train.names[0], "Train/a/0.png");
        assert_eq!(data.train.pixels.len(), 6 * 8 * 8 * 3);
        assert_eq!(data.dropped_duplicates, 0);
        assert_eq!(data.fingerprint, load(".", &options(dir.path(), 3), &|_, _| ()).unwrap().fingerprint);
        assert_ne!(data.fingerprint, load(".", &options(dir.path(), 1), &|_, _| ()).unwrap().fingerprint);
    }

    #[test]
    fn a_damaged_image_is_named_and_inspect_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        small(dir.path());
        let path = dir.path().join("Train/a/1.png");
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 7, 20, whole.len() / 2] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let said = complaint(load(".", &options(dir.path(), 3), &|_, _| ()));
            assert!(said.contains("1.png") && said.contains("1 of its images"), "{said}");
        }
        let summary = inspect(".", &options(dir.path(), 3)).unwrap();
        assert_eq!(summary.unreadable.len(), 1);
        assert!(summary.fingerprint.is_none() && summary.to_string().contains("1.png"), "{summary}");
    }

    #[test]
    fn a_folder_that_cannot_be_a_dataset_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let refuse = || complaint(list(root).and_then(|l| l.decode(&options(root, 3), &|_, _| ())));
        assert!(refuse().contains("no class folders"));
        small(root);
        std::fs::create_dir(root.join("Train/c")).unwrap();
        assert!(refuse().contains("Train/c holds no image"));
        std::fs::remove_dir(root.join("Train/c")).unwrap();
        write_png(&root.join("test/c/0.png"), 7, 10);
        assert!(refuse().contains("test/c is a class that train does not have"));
        std::fs::remove_dir_all(root.join("test/c")).unwrap();
        write_png(&root.join("test/0.png"), 7, 10);
        assert!(refuse().contains("outside any class folder"));
        std::fs::remove_file(root.join("test/0.png")).unwrap();
        std::fs::create_dir(root.join("val")).unwrap();
        assert!(refuse().contains("both name the val split"));
        std::fs::rename(root.join("val"), root.join("more")).unwrap();
        assert!(refuse().contains("'more'"));
        std::fs::remove_dir(root.join("more")).unwrap();
        std::fs::remove_dir_all(root.join("Train")).unwrap();
        assert!(refuse().contains("none called train"));
    }

    #[test]
    fn without_a_test_split_nothing_is_loaded_but_inspected() {
        let dir = tempfile::tempdir().unwrap();
        write_png(&dir.path().join("x/0.png"), 1, 10);
        write_png(&dir.path().join("y/0.png"), 2, 12);
        assert!(complaint(load(".", &options(dir.path(), 1), &|_, _| ())).contains("no test split"));
        let summary = inspect(".", &options(dir.path(), 1)).unwrap();
        assert_eq!(summary.splits.len(), 1);
        assert_eq!(summary.image_sizes.len(), 2);
    }
}
