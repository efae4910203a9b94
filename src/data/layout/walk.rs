//! Decides what counts below a class folder, and reports the rest.
//!
//! These do not count:
//! - files and folders whose names begin with a dot, and folders that systems leave there ([`is_hidden`]);
//! - files whose ending is not that of an image that can be read;
//! - masks: files in a folder that is called mask(s) or segmentation(s), or whose name ends in such a word, for example
//!   "lung masks"; and a file `X_mask` or `X_mask_2` if an image `X` is beside it or in a folder beside its own. This
//!   holds only below class folders: a class may be called `with_mask`, and names below a class folder may say with,
//!   without or no mask.
//!
//! Each of the three is counted, and the message names the first of each.

use crate::base::{Error, Result};
use crate::data::classes::{self, MASKS};
use crate::data::decode::{ImageFile, endings, is_image};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Folders and files of systems and file managers, in lower case, in addition to those that begin with a dot.
const SYSTEM: [&str; 10] = [
    "__macosx",
    "$recycle.bin",
    "system volume information",
    "@eadir",
    "#recycle",
    "lost+found",
    "thumbs.db",
    "desktop.ini",
    "icon\r",
    "dicomdir",
];

/// The most places that a message lists.
const TOLD: usize = 4;

/// A name as text. Bytes that are not UTF-8 are written as \xHH, so that different names stay different.
pub(super) fn text(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|b| text.push_str(&format!("\\x{b:02X}")));
    }
    text
}

/// Whether a file or folder with this name is left out, with everything below it.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || SYSTEM.iter().any(|s| name.eq_ignore_ascii_case(s))
}

/// Whether a folder holds an image at any depth that is not hidden.
pub(super) fn has_image(folder: &Path) -> bool {
    let shown = |entry: &walkdir::DirEntry| !is_hidden(&text(entry.file_name()));
    let all = WalkDir::new(folder).into_iter().filter_entry(shown);
    all.flatten().any(|entry| entry.file_type().is_file() && is_image(entry.path()))
}

/// Whether a folder below a class folder holds masks.
fn is_mask_folder(name: &str) -> bool {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    match words.as_slice() {
        [.., before, last] => MASKS.contains(last) && !["with", "without", "no", "face"].contains(before),
        [only] => MASKS.contains(only),
        [] => false,
    }
}

/// The X of a file's stem that is `X_mask` or `X_mask_2`.
fn masked(stem: &str) -> Option<&str> {
    let is_sign = |c: char| matches!(c, '_' | '-' | ' ');
    let numbered = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = if numbered.len() < stem.len() { numbered.strip_suffix(is_sign).unwrap_or(stem) } else { stem };
    let at = stem.rfind(is_sign)?;
    let word = stem[at + 1..].to_lowercase();
    (at > 0 && MASKS.contains(&word.as_str())).then_some(&stem[..at])
}

/// A count of things, with the name of the first.
#[derive(Default)]
struct Tally {
    count: usize,
    first: String,
}

impl Tally {
    /// Folders are listed in any order, so the first is the first by name.
    fn add(&mut self, name: String) {
        if self.count == 0 || name < self.first {
            self.first = name;
        }
        self.count += 1;
    }
}

/// A walk through a tree.
pub(super) struct FolderWalk<'a> {
    /// The folder that names start from.
    pub root: &'a Path,
    told: Told,
}

/// What the notes report at the end.
#[derive(Default)]
struct Told {
    /// Files that are not read, by ending.
    unread: BTreeMap<String, Tally>,
    /// Hidden folders that were not entered, and hidden images.
    folders: Tally,
    images: Tally,
    /// Masks, and the number in each folder.
    masks: Tally,
    masks_in: BTreeMap<String, usize>,
    /// Names that are not UTF-8.
    not_text: Tally,
}

impl<'a> FolderWalk<'a> {
    pub fn new(root: &'a Path) -> Self {
        FolderWalk { root, told: Told::default() }
    }

    /// A path relative to the root, with `/` between its parts.
    fn name(&self, path: &Path) -> String {
        let relative = path.strip_prefix(self.root).unwrap_or(path);
        relative.components().map(|c| text(c.as_os_str())).collect::<Vec<_>>().join("/")
    }

    /// Counts a hidden file or folder. A hidden file counts only if its ending is that of an image.
    pub fn hide(&mut self, path: &Path, is_folder: bool) {
        let name = self.name(path);
        if is_folder {
            self.told.folders.add(name);
        } else if is_image(path) {
            self.told.images.add(name);
        }
    }

    /// Counts a file that is not read, by its ending.
    pub fn leave(&mut self, path: &Path) {
        let ending = match path.extension() {
            _ if !path.is_file() => "no regular file".to_string(),
            Some(e) => format!(".{}", text(e).to_lowercase().chars().take(20).collect::<String>()),
            None => "no ending".to_string(),
        };
        let name = self.name(path);
        self.told.unread.entry(ending).or_default().add(name);
    }

    /// The images that count below a class folder, sorted by name, without their class. It is an error if there is
    /// none.
    pub fn images_of(&mut self, folder: &Path) -> Result<Vec<ImageFile>> {
        let mut images = Vec::new();
        let (mut unread, mut hidden) = (0, 0);
        let mut walk = WalkDir::new(folder).follow_links(true).into_iter();
        while let Some(entry) = walk.next() {
            let entry = entry.map_err(|e| unlisted(folder, &e))?;
            let path = entry.path();
            let is_folder = entry.file_type().is_dir();
            if entry.depth() > 0 && is_hidden(&text(entry.file_name())) {
                self.hide(path, is_folder);
                hidden += 1;
                if is_folder {
                    walk.skip_current_dir();
                }
            } else if entry.file_type().is_file() && is_image(path) {
                if entry.file_name().to_str().is_none() {
                    self.told.not_text.add(self.name(path));
                }
                images.push(path.to_path_buf());
            } else if !is_folder {
                self.leave(path);
                unread += 1;
            }
        }
        if folder.file_name().is_some_and(|n| n.to_str().is_none()) {
            self.told.not_text.add(self.name(folder));
        }
        let found = images.len();
        let images = self.without_masks(folder, images);
        if images.is_empty() {
            return Err(no_image(folder, found, unread, hidden));
        }
        let entry = |path: PathBuf| ImageFile { name: self.name(&path), path, label: 0, group: None };
        let mut entries: Vec<ImageFile> = images.into_iter().map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Removes the masks from a class folder's images and counts them.
    fn without_masks(&mut self, class: &Path, images: Vec<PathBuf>) -> Vec<PathBuf> {
        let mask_folder = |path: &Path| {
            let below = path.strip_prefix(class).unwrap_or(path).parent().unwrap_or(Path::new(""));
            below.components().any(|c| is_mask_folder(&text(c.as_os_str())))
        };
        // Stems by folder, and by the folder above it. So X in images/ counts as beside X_mask in labels/.
        let mut stems: HashSet<(PathBuf, String)> = HashSet::new();
        if images.iter().any(|p| masked(&stem(p)).is_some()) {
            for path in images.iter().filter(|p| !mask_folder(p)) {
                let beside = path.ancestors().skip(1).take(2).take_while(|f| f.starts_with(class));
                stems.extend(beside.map(|f| (f.to_path_buf(), stem(path))));
            }
        }
        let is_mask = |path: &Path| {
            let stem = stem(path);
            let of = masked(&stem).map(str::to_string);
            let beside = path.ancestors().skip(1).take(2).take_while(|f| f.starts_with(class));
            mask_folder(path)
                || of.is_some_and(|of| beside.into_iter().any(|f| stems.contains(&(f.into(), of.clone()))))
        };
        let (masks, images): (Vec<_>, Vec<_>) = images.into_iter().partition(|p| is_mask(p));
        for mask in masks {
            let (name, folder) = (self.name(&mask), self.name(mask.parent().unwrap_or(class)));
            self.told.masks.add(name);
            *self.told.masks_in.entry(folder).or_default() += 1;
        }
        images
    }

    /// How many files of each ending are not read.
    pub fn unread(&self) -> BTreeMap<String, usize> {
        self.told.unread.iter().map(|(ending, tally)| (ending.clone(), tally.count)).collect()
    }

    /// A note for the user about each kind of file that does not count.
    pub fn notes(&self) -> Vec<String> {
        let Told { unread, folders, images, masks, masks_in, not_text } = &self.told;
        let mut notes = Vec::new();
        let shown = |name: &str| classes::shown(name);
        if let Some(first) = unread.values().map(|t| &t.first).min() {
            let count: usize = unread.values().map(|t| t.count).sum();
            let kinds: Vec<String> = unread.iter().map(|(ending, t)| format!("{} {ending}", t.count)).collect();
            let kinds = cut(&kinds);
            notes.push(format!(
                "files not read: {count} ({kinds}); the first is {}; images end in {}",
                shown(first),
                endings().collect::<Vec<_>>().join(", ")
            ));
        }
        if masks.count > 0 {
            let places: Vec<String> = masks_in.iter().map(|(f, n)| format!("{n} in {}", shown(f))).collect();
            notes.push(format!(
                "masks left out: {} ({}); the first is {}: below a class folder, files in a folder of \
                 masks, and X_mask beside X, do not count as images of the class; rename them if they are",
                masks.count,
                cut(&places),
                shown(&masks.first)
            ));
        }
        if folders.count > 0 {
            let (n, first) = (folders.count, shown(&folders.first));
            notes.push(format!("hidden or system folders not searched: {n}; the first is {first}"));
        }
        if images.count > 0 {
            let (n, first) = (images.count, shown(&images.first));
            notes.push(format!("hidden images left out: {n}; the first is {first}"));
        }
        if not_text.count > 0 {
            let (n, first) = (not_text.count, shown(&not_text.first));
            notes.push(format!(
                "names that are not UTF-8: {n}; their other bytes are shown as \\xHH; the first is {first}"
            ));
        }
        notes
    }
}

/// The first few of a list, and how many more there are.
fn cut(list: &[String]) -> String {
    let more = list.len().saturating_sub(TOLD);
    let told = list.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{told} and {more} more") } else { told }
}

fn stem(path: &Path) -> String {
    text(path.file_stem().unwrap_or_default())
}

/// Why a class folder cannot be listed.
fn unlisted(folder: &Path, e: &walkdir::Error) -> Error {
    let at = e.path().unwrap_or(folder).display();
    let folder = folder.display();
    Error::Data(match (e.loop_ancestor(), e.io_error()) {
        (Some(ancestor), _) => {
            format!(
                "{at} is a link back to {}, so listing {folder} would never end; remove the link",
                ancestor.display()
            )
        }
        (None, Some(io)) if io.kind() == std::io::ErrorKind::NotFound => {
            format!("{at} is a link to nothing; fetch the file, or remove the link")
        }
        (None, Some(io)) => format!("cannot list {at}: {io}"),
        (None, None) => format!("cannot list {at}: {e}"),
    })
}

/// Why a class folder gives no image: it has `masks` masks and no other image, or no image at all.
fn no_image(folder: &Path, masks: usize, unread: usize, hidden: usize) -> Error {
    let folder = folder.display();
    let endings = endings().collect::<Vec<_>>().join(", ");
    Error::Data(if masks > 0 {
        format!("the class folder {folder} holds only masks ({masks}); rename their folder if they are its images")
    } else if unread > 0 {
        format!(
            "the class folder {folder} holds files ({unread}), but none that is read: images end in {endings}; save them so, or remove the folder"
        )
    } else if hidden > 0 {
        format!("the class folder {folder} holds only hidden files; fill it or remove it")
    } else {
        format!("the class folder {folder} holds no image ({endings}); fill it or remove it")
    })
}
