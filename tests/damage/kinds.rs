//! The kinds of damage to a file, and copies of a study in which one file is damaged.

use super::Combination;
use super::study::{Made, NOBODY, is_root};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wgslab::base::hash::Hasher;

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Missing,
    Empty,
    Half,
    /// One bit in the first, the second or the last third.
    Bit(u8),
    /// A digit of a text becomes another digit, so the file can still be parsed.
    Digit,
    /// The file is replaced by the file of that name in another folder of the study.
    Twin,
    Folder,
    /// The user has no right to read the file.
    Unreadable,
}

impl Kind {
    pub const ALL: [Kind; 10] = [
        Kind::Missing,
        Kind::Empty,
        Kind::Half,
        Kind::Bit(0),
        Kind::Bit(1),
        Kind::Bit(2),
        Kind::Digit,
        Kind::Twin,
        Kind::Folder,
        Kind::Unreadable,
    ];

    /// Whether this damage changes the file.
    pub fn applies(self, file: &str, bytes: &[u8], files: &BTreeMap<String, Vec<u8>>) -> bool {
        match self {
            Kind::Missing | Kind::Folder | Kind::Unreadable => true,
            _ => self.bytes(file, bytes, files).is_some_and(|b| b != bytes),
        }
    }

    /// The contents of the damaged file. None where the damage is not to the contents.
    fn bytes(self, file: &str, bytes: &[u8], files: &BTreeMap<String, Vec<u8>>) -> Option<Vec<u8>> {
        let lot = Hasher::new().part(file).part(format!("{self:?}")).hex();
        let lot = usize::from_str_radix(&lot[..12], 16).unwrap();
        let mut changed = bytes.to_vec();
        match self {
            Kind::Empty => changed.clear(),
            Kind::Half => changed.truncate(bytes.len() / 2),
            Kind::Bit(part) => {
                let third = bytes.len().div_ceil(3);
                let at = (usize::from(part) * third + lot % third.max(1)).min(bytes.len().checked_sub(1)?);
                changed[at] ^= 1 << ((lot >> 40) % 8);
            }
            Kind::Digit => {
                let text = std::str::from_utf8(bytes).ok()?;
                let digits: Vec<usize> =
                    text.bytes().enumerate().filter(|b| b.1.is_ascii_digit()).map(|b| b.0).collect();
                let at = digits.get(lot % digits.len().max(1))?;
                changed[*at] = b'0' + (bytes[*at] - b'0' + 1 + (lot >> 40) as u8 % 9) % 10;
            }
            Kind::Twin => {
                let (folder, name) = file.rsplit_once('/')?;
                let top = folder.split('/').next()?;
                let is_twin = |f: &&String| f.rsplit('/').next() == Some(name) && !f.starts_with(folder);
                let same_top = files.keys().filter(is_twin).find(|f| f.starts_with(top));
                changed = files[same_top.or_else(|| files.keys().find(is_twin))?].clone();
            }
            Kind::Missing | Kind::Folder | Kind::Unreadable => return None,
        }
        Some(changed)
    }
}

/// A copy of a study with one damaged file.
pub struct Copy {
    pub dir: TempDir,
    /// The study's folder.
    pub out: PathBuf,
    /// The contents of the damaged file; none where it is not a file.
    pub damaged: Option<Vec<u8>>,
}

/// Copies a study and damages one file. The other files are hard links, because the program never writes into an
/// existing file but replaces it. Locks are copied, so that each copy has its own.
pub fn damaged_copy(made: &Made, base: &Path, one: &Combination) -> Copy {
    let dir = tempfile::tempdir_in(&made.place).unwrap();
    let out = dir.path().join("out");
    let files = super::common::files(base);
    for (name, bytes) in &files {
        let (from, to) = (base.join(name), out.join(name));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        if *name == one.file {
            damage(&from, &to, one, bytes, &files);
        } else if name == "lock" || name.ends_with("/lock") {
            std::fs::write(&to, bytes).unwrap();
        } else {
            std::fs::hard_link(&from, &to).unwrap();
        }
    }
    std::fs::copy(made.place.join("study.toml"), dir.path().join("study.toml")).unwrap();
    hand_over(dir.path());
    let damaged = one.kind.bytes(&one.file, &files[&one.file], &files);
    Copy { dir, out, damaged: damaged.or((one.kind == Kind::Unreadable).then(|| files[&one.file].clone())) }
}

fn damage(from: &Path, to: &Path, one: &Combination, bytes: &[u8], files: &BTreeMap<String, Vec<u8>>) {
    match one.kind {
        Kind::Missing => return,
        Kind::Folder => std::fs::create_dir(to).unwrap(),
        Kind::Unreadable => {
            std::fs::write(to, bytes).unwrap();
            std::fs::set_permissions(to, PermissionsExt::from_mode(0o000)).unwrap();
        }
        kind => std::fs::write(to, kind.bytes(&one.file, bytes, files).unwrap()).unwrap(),
    }
    // The report shows when the last cell was finished, and damage on a disk changes no file times.
    let time = from.metadata().unwrap().modified().unwrap();
    if one.kind != Kind::Unreadable {
        std::fs::File::open(to).unwrap().set_modified(time).unwrap();
    }
}

/// Gives the folders of a copy, and its own files, to the user that runs the command.
fn hand_over(dir: &Path) {
    for entry in walkdir::WalkDir::new(dir) {
        let entry = entry.unwrap();
        let linked = entry.metadata().is_ok_and(|m| std::os::unix::fs::MetadataExt::nlink(&m) > 1 && m.is_file());
        if is_root() && !linked {
            std::os::unix::fs::chown(entry.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

/// An undamaged copy. Its output is what a command should print.
pub fn whole_copy(made: &Made, base: &Path) -> TempDir {
    let dir = tempfile::tempdir_in(&made.place).unwrap();
    for (name, bytes) in super::common::files(base) {
        let to = dir.path().join("out").join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    hand_over(dir.path());
    dir
}
