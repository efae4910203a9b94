//! Folders of class folders, with or without split folders (train, val/valid/validation, test, in any case).
//!
//! Below a class folder every image counts, at any depth, except what is no picture of the class: see [`super::walk`].

use super::walk::{self, FolderWalk};
use super::{Claims, Layout, Open, files};
use crate::base::{Error, Result};
use crate::data::decode::{ImageFile, Listing, is_image, name_of};
use crate::data::{Split, classes};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub(super) const LAYOUT: Layout = Layout {
    name: "folder",
    takes: "a folder of class folders",
    help: "a folder of class folders, or of split folders (train, val, test) of class folders",
    claims: Claims::Folders,
    open: Open::Path(|path| files(list(path))),
};

/// Lists the images under `root`, sorted by name.
pub fn list(root: &Path) -> Result<Listing> {
    let mut listing = Listing { name: name_of(root), ..Listing::default() };
    let mut walk = FolderWalk::new(root);
    let mut found = [const { None::<Vec<(String, Vec<ImageFile>)>> }; 3];
    for (split, folder, folders) in split_folders(&mut walk)? {
        no_splits_below(&folder, &folders)?;
        let mut of = Vec::new();
        for (class, folder) in folders {
            of.push((class, walk.images_of(&folder)?));
        }
        found[split as usize] = Some(of);
    }
    listing.classes = found.iter().flatten().flatten().map(|(class, _)| class.clone()).collect();
    classes::sort(&mut listing.classes);
    let number: HashMap<&String, u32> = listing.classes.iter().zip(0..).collect();
    for (of, slot) in found.into_iter().zip(&mut listing.files) {
        let Some(of) = of else { continue };
        // Ordered by class number, so that images are in the order of their labels.
        let mut of: Vec<(u32, Vec<ImageFile>)> =
            of.into_iter().map(|(class, e)| (number.get(&class).copied().unwrap_or(0), e)).collect();
        of.sort_by_key(|(label, _)| *label);
        let entries = of.into_iter().flat_map(|(label, e)| e.into_iter().map(move |e| ImageFile { label, ..e }));
        *slot = Some(entries.collect());
    }
    listing.notes = classes::notes(&listing.classes);
    listing.notes.extend(walk.notes());
    listing.unread = walk.unread();
    Ok(listing)
}

/// A split, its folder, and its class folders by name.
type SplitFolder = (Split, PathBuf, Vec<(String, PathBuf)>);

/// The split folders in the root, train first. If the root holds class folders, the root itself.
fn split_folders(walk: &mut FolderWalk<'_>) -> Result<Vec<SplitFolder>> {
    let root = walk.root;
    let children = class_folders(walk, root)?;
    let mut found: Vec<(Split, PathBuf)> = Vec::new();
    let mut other = None;
    for (name, path) in &children {
        match Split::parse(name) {
            None => other = Some(name),
            Some(split) => {
                if let Some((_, twin)) = found.iter().find(|(s, _)| *s == split) {
                    let (a, b) = (twin.display(), path.display());
                    return Err(Error::Data(format!("{a} and {b} both name the {} split; keep one", split.name())));
                }
                found.push((split, path.clone()));
            }
        }
    }
    match (found.is_empty(), other) {
        (true, _) => Ok(vec![(Split::Train, root.to_path_buf(), children)]),
        (false, Some(other)) => Err(Error::Data(format!(
            "{} holds split folders and also {}; keep split folders only, or class folders only",
            root.display(),
            classes::shown(other)
        ))),
        (false, None) => {
            found.sort_by_key(|(s, _)| *s as usize);
            found
                .into_iter()
                .map(|(split, folder)| class_folders(walk, &folder).map(|children| (split, folder, children)))
                .collect()
        }
    }
}

/// The folders in `folder`, as [`subfolders`] lists them. It is an error if there is none.
fn class_folders(walk: &mut FolderWalk<'_>, folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let out = subfolders(walk, folder)?;
    if out.is_empty() {
        return Err(Error::Data(format!("{} holds no class folders", folder.display())));
    }
    Ok(out)
}

/// The folders in `folder` by name, without hidden and system ones. An image beside them has no class, which is an
/// error.
pub(super) fn subfolders(walk: &mut FolderWalk<'_>, folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, "list", e))? {
        let path = entry.map_err(|e| Error::io(folder, "list", e))?.path();
        let name = walk::text(path.file_name().unwrap_or_default());
        if walk::is_hidden(&name) {
            walk.hide(&path, path.is_dir());
        } else if path.is_dir() {
            out.push((name, path));
        } else if path.is_file() && is_image(&path) {
            return Err(Error::Data(format!("{} is outside any class folder; move it into one", path.display())));
        } else {
            walk.leave(&path);
        }
    }
    out.sort();
    if let Some(pair) = out.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let name = classes::shown(&pair[0].0);
        return Err(Error::Data(format!("two folders in {} are called {name}; rename one", folder.display())));
    }
    Ok(out)
}

/// Refuses a class folder that holds split folders, because its images would be both learnt from and tested on. Either
/// the SPEC names a folder one level too high, or the tree has its splits below its classes.
fn no_splits_below(folder: &Path, classes: &[(String, PathBuf)]) -> Result<()> {
    for (_, class) in classes {
        let children = std::fs::read_dir(class).map_err(|e| Error::io(class, "list", e))?;
        let mut splits: Vec<Split> = Vec::new();
        for child in children {
            let child = child.map_err(|e| Error::io(class, "list", e))?.path();
            let split = Split::parse(&walk::text(child.file_name().unwrap_or_default()));
            splits.extend(split.filter(|s| !splits.contains(s) && child.is_dir()));
        }
        if splits.len() > 1 {
            let (class, folder) = (class.display(), folder.display());
            return Err(Error::Data(format!(
                "{class} holds split folders, but is in the place of a class folder; give {class} as the \
                 dataset, or put the split folders into {folder} and the class folders into them"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
