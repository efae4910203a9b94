//! What a data SPEC means. Relative names start from the data root; absolute ones stay.

use crate::base::{Error, Result};
use crate::data::phantom::Request;
use std::path::{Path, PathBuf};

/// The forms of a SPEC, for messages.
pub const FORMS: &str = "a MedMNIST .npz file, a folder of class folders, a .csv manifest with the columns \
                         path,label[,split], or phantom:NAME";

/// Where data comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// A MedMNIST archive.
    Npz(PathBuf),
    /// A folder of class folders, with or without split folders.
    Folder(PathBuf),
    /// A CSV manifest.
    Manifest(PathBuf),
    /// Generated images.
    Phantom(Request),
}

impl Spec {
    /// Parses `spec`; a path must exist.
    pub fn parse(spec: &str, data_root: &Path) -> Result<Self> {
        if let Some(request) = spec.strip_prefix("phantom:") {
            return Ok(Spec::Phantom(Request::parse(request)?));
        }
        if spec.is_empty() {
            return Err(Error::Data(format!("the data spec is empty; it must be {FORMS}")));
        }
        let path = data_root.join(spec);
        if path.is_dir() {
            return Ok(Spec::Folder(path));
        }
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        match (path.is_file(), extension.to_str()) {
            (true, Some("npz")) => Ok(Spec::Npz(path)),
            (true, Some("csv")) => Ok(Spec::Manifest(path)),
            (true, _) => Err(Error::Data(format!("{} is a file of an unknown kind; data is {FORMS}", path.display()))),
            // A pipe or a device would be waited for, or never end.
            (false, _) if path.exists() => {
                Err(Error::Data(format!("{} is neither a file nor a folder; data is {FORMS}", path.display())))
            }
            (false, _) => Err(missing(spec, data_root, &path)),
        }
    }
}

/// The sentence for a spec that names nothing: an unknown scheme, or a path that is not there.
fn missing(spec: &str, data_root: &Path, path: &Path) -> Error {
    // One letter before the colon is a drive, not a scheme.
    let scheme = spec.split_once(':').map(|(scheme, _)| scheme);
    let is_name = |s: &&str| s.len() > 1 && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if let Some(scheme) = scheme.filter(is_name) {
        return Error::Data(format!("'{scheme}:' in '{spec}' is not a known kind of data; it must be {FORMS}"));
    }
    let place = if Path::new(spec).is_absolute() {
        "give the path of a file or folder that exists".to_string()
    } else {
        format!("relative names start from the data root {}, which --data-root sets", data_root.display())
    };
    Error::Data(format!("data '{spec}' was looked for at {} and is not there; {place}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::complaint;

    #[test]
    fn forms_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.NPZ"), b"").unwrap();
        std::fs::write(dir.path().join("b.csv"), b"").unwrap();
        std::fs::write(dir.path().join("c.txt"), b"").unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let parse = |s: &str| Spec::parse(s, dir.path());
        assert_eq!(parse("a.NPZ").unwrap(), Spec::Npz(dir.path().join("a.NPZ")));
        assert_eq!(parse("b.csv").unwrap(), Spec::Manifest(dir.path().join("b.csv")));
        assert_eq!(parse("d").unwrap(), Spec::Folder(dir.path().join("d")));
        let absolute = dir.path().join("d");
        assert_eq!(Spec::parse(absolute.to_str().unwrap(), Path::new("elsewhere")).unwrap(), Spec::Folder(absolute));
        assert!(matches!(parse("phantom:covid").unwrap(), Spec::Phantom(_)));
        assert!(complaint(parse("c.txt")).contains("unknown kind"));
    }

    #[test]
    fn what_is_not_there_is_named_with_the_way_out() {
        let root = Path::new("no-such-root");
        let gone = complaint(Spec::parse("gone.npz", root));
        assert!(gone.contains("gone.npz") && gone.contains("no-such-root") && gone.contains("--data-root"), "{gone}");
        let scheme = complaint(Spec::parse("fetal:somewhere", root));
        assert!(scheme.contains("'fetal:'") && scheme.contains("phantom:NAME"), "{scheme}");
        assert!(complaint(Spec::parse("", root)).contains("empty"));
    }
}
