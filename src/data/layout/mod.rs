//! Layouts: how a data SPEC is read, one layout per file. A SPEC is a path, and the kind of file or folder decides the
//! layout. Or it is `NAME:` and a text that the layout of that name reads. Relative paths start from the data root;
//! absolute paths are used unchanged.
//!
//! [`walk`] decides which files below a folder count, [`table`] reads CSV files that name images, and [`official`] holds
//! what the layouts of single datasets share.

use crate::base::hash::Hasher;
use crate::base::{Error, Result, nearest};
use crate::data::decode::Listing;
use crate::data::{DecodedData, Keep, LeftOut, LoadOptions, Loading, Need, Split, cache, groups};
use std::path::{Path, PathBuf};

mod official;
pub(in crate::data) mod table;
mod walk;

/// Declares the file of each line and lists its `LAYOUT`.
macro_rules! layouts {
    ($($(#[$when:meta])? $layout:ident,)*) => {
        $($(#[$when])? pub mod $layout;)*
        const LAYOUTS: &[&Layout] = &[$($(#[$when])? &$layout::LAYOUT),*];
    };
}

// The only list of the names of the layouts. SPECs, messages and the command line's help use it, in this order.
layouts! {
    npz,
    folder,
    manifest,
    fetal,
    dermnet,
    covid_qu_ex,
    mura,
    nct_crc,
    phantom,
    #[cfg(test)]
    patients,
}

/// One line of the list.
pub struct Layout {
    /// Its name, which is that of its file, with `-` for `_`. A SPEC gives it as `NAME:`.
    pub name: &'static str,
    /// Its SPEC in a sentence that lists all of them: "a folder of class folders".
    pub takes: &'static str,
    /// Its SPEC in the help of `data inspect`, where there is more room.
    pub help: &'static str,
    /// The paths that it reads without a name before them.
    claims: Claims,
    open: Open,
}

/// The paths that a layout reads without its name before them.
#[derive(PartialEq)]
enum Claims {
    /// None: data is read by this layout only if the user names it.
    Nothing,
    /// Folders.
    Folders,
    /// Files with this ending, in lower case and without the dot.
    Ending(&'static str),
}

/// How a layout finds its data. It may already read everything that needs no decoding, so that unusable data is refused
/// at once.
#[derive(Clone, Copy)]
enum Open {
    /// From a file or folder that exists. [`files`] turns a list of image files into this.
    Path(OpenPath),
    /// From a file or folder that exists, in a way that the text after a `?` chooses. The text is empty if there is no
    /// `?`.
    Query(fn(&str) -> Result<OpenPath>),
    /// From the text after its name, for data without files.
    Text(fn(&str) -> Result<Box<dyn Found>>),
}

/// Reads a file or folder that exists.
type OpenPath = fn(&Path) -> Result<Box<dyn Found>>;

/// A dataset that a layout found, before any image is decoded.
pub(super) trait Found: Send + Sync {
    /// How many images it has, those of all splits together.
    fn images(&self) -> usize;

    /// Refuses what is wrong without decoding: data that does not serve `need`, if there is one.
    fn check(&self, options: &LoadOptions, need: Option<Need>) -> Result<()>;

    /// The key of the cache of decoded images. None if the data is not to be cached. Files are read for it, meanwhile
    /// `progress` may end it.
    fn key(&self, progress: &dyn Loading) -> Result<Option<Hasher>>;

    /// The key where [`Found::key`] gives none and the images are kept in pages: of data that is made and not decoded. It
    /// holds the version of what makes it.
    fn paged_key(&self) -> Option<Hasher> {
        None
    }

    /// Decodes every image. The pixels go where `keep` says.
    fn decode(&self, options: &LoadOptions, keep: Keep<'_>, progress: &dyn Loading) -> Result<DecodedData>;

    /// Decodes image `at` of a split again, those that could not be decoded not counted, which are `left_out`. `take` is given
    /// its place and its pixels, and those of any other image of the split that is decoded on the way.
    fn again(&self, options: &LoadOptions, at: (Split, usize), left_out: &[LeftOut], take: &mut Take<'_>)
    -> Result<()>;

    /// Adds notes that are not about the pixels. The decoded images may come from the cache.
    fn told(&self, source: DecodedData) -> DecodedData;
}

/// Takes an image that was decoded again: its place in its split, and its pixels.
pub(super) type Take<'a> = dyn FnMut(usize, &[u8]) -> Result<()> + Send + 'a;

/// Turns a list of image files into what a layout found.
fn files(listing: Result<Listing>) -> Result<Box<dyn Found>> {
    Ok(Box::new(listing?))
}

impl Found for Listing {
    fn images(&self) -> usize {
        self.files.iter().flatten().map(Vec::len).sum()
    }

    fn check(&self, _: &LoadOptions, need: Option<Need>) -> Result<()> {
        need.map_or(Ok(()), |need| self.outline().check(need))
    }

    fn key(&self, progress: &dyn Loading) -> Result<Option<Hasher>> {
        cache::key_of(self, progress).map(Some)
    }

    fn decode(&self, options: &LoadOptions, keep: Keep<'_>, progress: &dyn Loading) -> Result<DecodedData> {
        Listing::decode(self, options, keep, progress)
    }

    fn again(
        &self,
        options: &LoadOptions,
        at: (Split, usize),
        left_out: &[LeftOut],
        take: &mut Take<'_>,
    ) -> Result<()> {
        take(at.1, &self.decode_one(options, at, left_out)?)
    }

    fn told(&self, source: DecodedData) -> DecodedData {
        let mut source = DecodedData { unread: self.unread.clone(), ..source };
        groups::attach(self, &mut source.parts);
        let patients = groups::note(&source.parts);
        source.noting(self.notes.iter().cloned().chain(patients).collect())
    }
}

/// The forms of a SPEC, for messages and help: "A, B, or C".
pub fn forms() -> String {
    let takes: Vec<&str> = LAYOUTS.iter().map(|l| l.takes).collect();
    match takes.split_last() {
        Some((last, [])) => last.to_string(),
        Some((last, others)) => format!("{}, or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Every layout, in the order in which users see them.
pub fn all() -> impl Iterator<Item = &'static Layout> {
    LAYOUTS.iter().copied()
}

/// A short name for the data of a SPEC: `phantom:covid?train=99` gives `phantom-covid`, `a/set.npz` gives `set`.
pub fn short_name(spec: &str) -> String {
    let (layout, path) = match spec.split_once(':') {
        Some((name, text)) if named(name).is_some_and(|l| !matches!(l.open, Open::Path(_))) => {
            (format!("{name}-"), text.split('?').next().unwrap_or(text))
        }
        Some((name, path)) if name.len() > 1 => (format!("{name}-"), path), // one letter is a drive, not a layout
        _ => (String::new(), spec),
    };
    let last = path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(path);
    let stem = all().find_map(|l| match l.claims {
        Claims::Ending(ending) => last.strip_suffix(ending)?.strip_suffix('.'),
        _ => None,
    });
    format!("{layout}{}", stem.unwrap_or(last))
}

fn named(name: &str) -> Option<&'static Layout> {
    all().find(|l| l.name == name)
}

/// The data that a SPEC names, and the layout that reads it.
pub struct Spec {
    /// The layout that reads it.
    pub layout: &'static Layout,
    place: Place,
}

enum Place {
    Path(PathBuf, OpenPath),
    Text(Box<dyn Found>),
}

impl Spec {
    /// Parses `spec`. A path must exist.
    pub fn parse(spec: &str, data_root: &Path) -> Result<Self> {
        Spec::find(spec, data_root)?.map_err(|path| missing(data_root, &path))
    }

    /// As [`Spec::parse`]; of a path that does not exist it gives that path.
    pub(crate) fn find(spec: &str, data_root: &Path) -> Result<Result<Self, PathBuf>> {
        let prefixed = spec.split_once(':').and_then(|(name, rest)| Some((named(name)?, rest)));
        if let Some((layout, Open::Text(open), text)) = prefixed.map(|(l, rest)| (l, l.open, rest)) {
            return Ok(Ok(Spec { layout, place: Place::Text(open(text)?) }));
        }
        if spec.is_empty() {
            return Err(Error::Data(format!("the data spec is empty; it must be {}", forms())));
        }
        let path = data_root.join(spec);
        if path.exists() {
            let layout = claiming(&path)?;
            return Spec::at(layout, path, "").map(Ok);
        }
        let Some((layout, rest)) = prefixed else {
            unknown_kind(spec)?;
            return Ok(Err(path));
        };
        // A path may hold a question mark.
        let asks = matches!(layout.open, Open::Query(_)) && !data_root.join(rest).exists();
        let (rest, query) = rest.rsplit_once('?').filter(|_| asks).unwrap_or((rest, ""));
        if rest.is_empty() {
            return Err(Error::Data(format!("'{spec}' names no file or folder; write its path after the colon")));
        }
        let path = data_root.join(rest);
        if path.exists() { Spec::at(layout, path, query).map(Ok) } else { Ok(Err(path)) }
    }

    fn at(layout: &'static Layout, path: PathBuf, query: &str) -> Result<Self> {
        match layout.open {
            Open::Path(open) => Ok(Spec { layout, place: Place::Path(path, open) }),
            Open::Query(choose) => Ok(Spec { layout, place: Place::Path(path, choose(query)?) }),
            // No layout both claims paths and reads text: the tests of this file check that.
            Open::Text(_) => Err(Error::Data(format!("{} is not for the layout {}", path.display(), layout.name))),
        }
    }

    /// Finds the data.
    pub(super) fn open(self) -> Result<Box<dyn Found>> {
        match self.place {
            Place::Path(path, open) => open(&path),
            Place::Text(found) => Ok(found),
        }
    }
}

/// The CSV manifest that a SPEC names; none where its data is something else.
pub(super) fn manifest_of(spec: &str, data_root: &Path) -> Result<Option<PathBuf>> {
    let spec = Spec::parse(spec, data_root)?;
    Ok(match spec.place {
        Place::Path(path, _) if spec.layout.name == manifest::LAYOUT.name => Some(path),
        _ => None,
    })
}

/// The layout that reads the existing `path` without a name before it.
fn claiming(path: &Path) -> Result<&'static Layout> {
    let kind = if path.is_dir() {
        all().find(|l| l.claims == Claims::Folders)
    } else if path.is_file() {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        all().find(|l| matches!(l.claims, Claims::Ending(ending) if extension == ending))
    } else {
        // Reading a pipe or a device could wait or never end.
        let what = format!("{} is neither a file nor a folder; data is {}", path.display(), forms());
        return Err(Error::Data(what));
    };
    kind.ok_or_else(|| Error::Data(format!("{} is a file of an unknown kind; data is {}", path.display(), forms())))
}

/// An error where what stands before the colon of a SPEC looks like the name of a layout and is none.
fn unknown_kind(spec: &str) -> Result<()> {
    // One letter before the colon is a drive, not a layout.
    let scheme = spec.split_once(':').map(|(scheme, _)| scheme);
    let is_name = |s: &&str| s.len() > 1 && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if let Some(scheme) = scheme.filter(is_name) {
        let names: Vec<&str> = all().map(|l| l.name).collect();
        let meant = nearest(scheme, &names).map_or(String::new(), |near| format!("; did you mean '{near}:'?"));
        let what = format!("'{scheme}:' in '{spec}' is not a known kind of data; it must be {}{meant}", forms());
        return Err(Error::Data(what));
    }
    Ok(())
}

/// The error for a SPEC whose `path` does not exist.
fn missing(data_root: &Path, path: &Path) -> Error {
    let (name, place) = match path.strip_prefix(data_root) {
        Ok(name) => {
            (name, format!("relative names start from the data root {}, which --data-root sets", data_root.display()))
        }
        Err(_) => (path, "give the path of a file or folder that exists".to_string()),
    };
    let (name, path) = (name.display(), path.display());
    Error::Data(format!("data '{name}' was looked for at {path} and does not exist; {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::complaint;

    fn parse(spec: &str, root: &Path) -> Result<(&'static str, Option<PathBuf>)> {
        let spec = Spec::parse(spec, root)?;
        let path = match spec.place {
            Place::Path(path, _) => Some(path),
            Place::Text(_) => None,
        };
        Ok((spec.layout.name, path))
    }

    #[test]
    fn forms_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.NPZ"), b"").unwrap();
        std::fs::write(dir.path().join("b.csv"), b"").unwrap();
        std::fs::write(dir.path().join("c.txt"), b"").unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let here = |s: &str| parse(s, dir.path());
        assert_eq!(here("a.NPZ").unwrap(), ("npz", Some(dir.path().join("a.NPZ"))));
        assert_eq!(here("b.csv").unwrap(), ("manifest", Some(dir.path().join("b.csv"))));
        assert_eq!(here("d").unwrap(), ("folder", Some(dir.path().join("d"))));
        assert_eq!(here("patients:d").unwrap(), ("patients", Some(dir.path().join("d"))));
        assert_eq!(here("manifest:c.txt").unwrap(), ("manifest", Some(dir.path().join("c.txt"))));
        let absolute = dir.path().join("d");
        assert_eq!(parse(absolute.to_str().unwrap(), Path::new("elsewhere")).unwrap(), ("folder", Some(absolute)));
        assert_eq!(here("phantom:covid").unwrap(), ("phantom", None));
        assert!(complaint(here("c.txt")).contains("unknown kind"));
        assert!(complaint(here("patients:")).contains("write its path after the colon"));
    }

    #[test]
    fn a_question_may_follow_a_path() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["d", "d?label=abnormality"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let here = |s: &str| parse(s, dir.path());
        for spec in ["mura:d", "mura:d?", "mura:d?label=abnormality", "mura:d?label=body_part"] {
            let place = spec.trim_start_matches("mura:");
            let place = if dir.path().join(place).exists() { place } else { "d" };
            assert_eq!(here(spec).unwrap(), ("mura", Some(dir.path().join(place))), "{spec}");
        }
        let said = complaint(here("mura:d?label=age"));
        assert!(said.contains("'label=age'") && said.contains("label=abnormality"), "{said}");
        assert!(complaint(here("mura:?label=abnormality")).contains("write its path after the colon"));
        assert!(complaint(here("mura:e?label=abnormality")).contains("data 'e' was looked for"));
        assert!(complaint(here("fetal:d?label=plane")).contains("data 'd?label=plane' was looked for"));
        assert_eq!(short_name("mura:x/MURA-v1.1/?label=abnormality"), "mura-MURA-v1.1");
    }

    #[test]
    fn what_is_not_there_is_named_with_the_way_out() {
        let root = Path::new("no-such-root");
        let gone = complaint(parse("gone.npz", root));
        assert!(gone.contains("gone.npz") && gone.contains("no-such-root") && gone.contains("--data-root"), "{gone}");
        let gone = complaint(parse("patients:gone", root));
        assert!(gone.starts_with("data 'gone' was looked for at no-such-root/gone"), "{gone}");
        let scheme = complaint(parse("mammography:somewhere", root));
        assert!(scheme.contains("'mammography:'") && scheme.contains("phantom:NAME"), "{scheme}");
        assert!(complaint(parse("phantm:covid", root)).ends_with("did you mean 'phantom:'?"));
        assert!(complaint(parse("", root)).contains("empty"));
    }

    #[test]
    fn every_layout_can_be_asked_for_and_says_how() {
        for layout in all() {
            assert!(forms().contains(layout.takes) && !layout.help.is_empty(), "{}", layout.name);
            assert!(layout.name.len() > 1, "one letter is a drive");
            let unclaimed = layout.claims == Claims::Nothing;
            assert!(
                unclaimed == layout.takes.contains(&format!("{}:", layout.name)),
                "{}: the name in its texts differs",
                layout.name
            );
            assert!(
                unclaimed || matches!(layout.open, Open::Path(_)),
                "{}: a layout of paths cannot read text",
                layout.name
            );
        }
    }
}
