//! What the layouts of single datasets share: a download is read as it was unzipped, from its own folder or the one
//! that holds it. What is missing is named with what the download holds.

use super::folder::subfolders;
use super::walk::{self, FolderWalk};
use crate::base::{Error, Result};
use crate::data::decode::{ImageFile, Listing};
use crate::data::{Split, classes};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The note on a dataset that does not say which patient an image is of.
pub(super) const NO_PATIENTS: &str =
    "the download does not name patients, so images of one patient may be in train and in test";

/// A dataset as its authors publish it.
pub(super) struct Download {
    /// The layout's name.
    pub name: &'static str,
    /// What it holds, for messages.
    pub holds: &'static str,
    /// Its class folders, or the names of its classes, in the order of their numbers.
    pub classes: &'static [&'static str],
    /// How many images it has in train, val and test. 0 where it has no such split.
    pub images: [usize; 3],
}

impl Download {
    /// The error for a missing part.
    pub fn lacks(&self, folder: &Path, part: &str) -> Error {
        let (folder, name, holds) = (folder.display(), self.name, self.holds);
        Error::Data(format!(
            "{folder} has no {part}; the download of {name} holds {holds}; give its folder, or the one that holds it"
        ))
    }

    /// `root`, or the one folder in it, that `is` accepts. `part` says what the others lack.
    pub fn find(&self, root: &Path, part: &str, is: impl Fn(&Path) -> bool) -> Result<PathBuf> {
        if !root.is_dir() {
            let root = root.display();
            return Err(Error::Data(format!(
                "{root} is not a folder; give the folder of the download: {}",
                self.holds
            )));
        }
        if is(root) {
            return Ok(root.to_path_buf());
        }
        let mut found: Vec<PathBuf> = visible(root)?.into_iter().filter(|path| path.is_dir() && is(path)).collect();
        found.sort();
        match found.as_slice() {
            [] => Err(self.lacks(root, part)),
            [one] => Ok(one.clone()),
            [a, b, ..] => Err(Error::Data(format!(
                "{} and {} both are a download of {}; give the one that is meant",
                a.display(),
                b.display(),
                self.name
            ))),
        }
    }

    /// The folder of the download, if its split folders hold class folders. `splits` names a split folder each.
    pub fn find_splits(&self, root: &Path, splits: &[&str]) -> Result<PathBuf> {
        let has_class = |split: &Path| self.classes.iter().any(|class| child(split, class).is_ok_and(|c| c.is_some()));
        let has_split = |folder: &Path, split: &&str| {
            child(folder, split).is_ok_and(|split| split.is_some_and(|split| has_class(&split)))
        };
        let part = format!("{} with class folders", splits.join(" and "));
        self.find(root, &part, |folder| splits.iter().any(|split| has_split(folder, split)))
    }

    /// A part of the download that must be there.
    pub fn part(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        child(folder, name)?.ok_or_else(|| self.lacks(folder, name))
    }

    /// Lists the images of the class folders of each split, by class and name. If `inner` is given, only the folder of
    /// that name in each class folder is read.
    pub fn list(&self, root: &Path, splits: &[(Split, PathBuf)], inner: Option<&str>) -> Result<Listing> {
        let mut listing = Listing { name: self.name.into(), ..Listing::default() };
        listing.classes = self.classes.iter().map(|c| c.to_string()).collect();
        let (mut walk, mut beside) = (FolderWalk::new(root), BTreeSet::new());
        for (split, folder) in splits {
            let mut entries = Vec::new();
            for (label, class) in (0..).zip(self.class_folders(&mut walk, folder)?) {
                let images = match inner {
                    None => class,
                    Some(inner) => {
                        let all = visible(&class)?.into_iter().filter(|path| path.is_dir()).map(|path| name_of(&path));
                        beside.extend(all.filter(|name| !name.eq_ignore_ascii_case(inner)));
                        self.part(&class, inner)?
                    }
                };
                entries.extend(walk.images_of(&images)?.into_iter().map(|e| ImageFile { label, ..e }));
            }
            listing.files[*split as usize] = Some(entries);
        }
        if !beside.is_empty() {
            let names = classes::listed(&Vec::from_iter(beside));
            listing.notes.push(format!("folders of a class that are not read: {names}"));
        }
        self.finish(&mut listing, &walk);
        Ok(listing)
    }

    /// Adds what the walk left out, and whether there are as many images as the download has.
    pub fn finish(&self, listing: &mut Listing, walk: &FolderWalk<'_>) {
        let found = listing.files.each_ref().map(|files| files.as_ref().map_or(0, Vec::len));
        if found != self.images {
            let counts = |of: [usize; 3]| {
                let some =
                    Split::ALL.into_iter().zip(of).filter(|(split, n)| *n > 0 || self.images[*split as usize] > 0);
                some.map(|(split, n)| format!("{n} in {}", split.name())).collect::<Vec<_>>().join(", ")
            };
            listing.notes.push(format!(
                "images: {}; the whole download has {}, so a part may be missing",
                counts(found),
                counts(self.images)
            ));
        }
        listing.notes.extend(walk.notes());
        listing.unread = walk.unread();
    }

    /// The class folders of a split, in the order of the classes. A folder of another name is an error, unless it holds
    /// no image.
    fn class_folders(&self, walk: &mut FolderWalk<'_>, folder: &Path) -> Result<Vec<PathBuf>> {
        for (name, path) in subfolders(walk, folder)? {
            let known = self.classes.iter().any(|class| class.eq_ignore_ascii_case(&name));
            if !known && walk::has_image(&path) {
                let (path, of) = (path.display(), self.name);
                return Err(Error::Data(format!(
                    "{path} is no class of {of}; the download holds {}; move the folder away, or give {} without \
                     '{of}:' to read class folders of any name",
                    self.holds,
                    walk.root.display()
                )));
            }
        }
        self.classes.iter().map(|class| self.part(folder, class)).collect()
    }
}

/// The files and folders in `folder` that are not hidden, in any order.
fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    let all = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "list", e))?;
    let all: Vec<PathBuf> =
        all.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>().map_err(|e| Error::io(folder, "list", e))?;
    Ok(all.into_iter().filter(|path| !walk::is_hidden(&name_of(path))).collect())
}

fn name_of(path: &Path) -> String {
    walk::text(path.file_name().unwrap_or_default())
}

/// The file or folder in `folder` with this name in any case.
pub(super) fn child(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    let mut found: Vec<PathBuf> =
        visible(folder)?.into_iter().filter(|path| name_of(path).eq_ignore_ascii_case(name)).collect();
    found.sort();
    match found.as_slice() {
        [a, b, ..] => Err(Error::Data(format!("{} and {} differ only in case; keep one", a.display(), b.display()))),
        _ => Ok(found.pop()),
    }
}

/// Whether a folder has this name, however its path is written.
pub(super) fn is_called(folder: &Path, name: &str) -> bool {
    let is = |path: &Path| name_of(path).eq_ignore_ascii_case(name);
    is(folder) || folder.canonicalize().is_ok_and(|path| is(&path))
}

/// The folder itself, or the folder of the same name in it: some programs unzip `NAME.zip` to `NAME/NAME`.
pub(super) fn unzipped(folder: PathBuf, name: &str) -> Result<PathBuf> {
    let inner = child(&folder, name)?.filter(|inner| inner.is_dir());
    Ok(inner.unwrap_or(folder))
}
