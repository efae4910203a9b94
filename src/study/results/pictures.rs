//! The sample pictures of a study: a strip for each dataset. The strip's labels are written last.

use crate::base::hash::sha256;
use crate::base::{Error, Result, files, seal};
use crate::study::folder::settled;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A sample image of the report, with its labels in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The encoded image.
    pub png: Vec<u8>,
    /// The class that it came with.
    pub clean: String,
    /// The class that it is trained on.
    pub given: String,
}

/// `labels.json`: the labels of a strip of pictures, and the hash of each picture's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strip {
    pictures: Vec<Label>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Label {
    clean: String,
    given: String,
    sha256: String,
}

/// The file of a strip that is written last.
const STRIP: &str = "labels.json";

/// Writes `dataset`'s sample pictures into the study's folder `dir`.
pub fn write_pictures(dir: &Path, dataset: &str, pictures: &[Picture]) -> Result<()> {
    let folder = dir.join("pictures").join(dataset);
    for (i, picture) in pictures.iter().enumerate() {
        files::write_atomic(&folder.join(format!("{i:02}.png")), &picture.png)?;
    }
    let label = |p: &Picture| Label { clean: p.clean.clone(), given: p.given.clone(), sha256: sha256(&p.png) };
    seal::write(&folder.join(STRIP), &Strip { pictures: pictures.iter().map(label).collect() })
}

/// Reads `dataset`'s sample pictures. It is empty if none were written, or if a process is writing them.
pub fn read_pictures(dir: &Path, dataset: &str) -> Result<Vec<Picture>> {
    let folder = dir.join("pictures").join(dataset);
    settled(&folder, || read_strip(&folder))
}

/// As [`read_pictures`], for a folder that no other process writes.
pub(in crate::study) fn read_strip(folder: &Path) -> Result<Vec<Picture>> {
    let way_out = "run the study again, which writes the pictures anew";
    let path = folder.join(STRIP);
    if !files::exists(&path)? {
        if files::exists(&folder.join("00.png"))? {
            return Err(Error::damaged(&path, "it is missing beside its pictures", way_out));
        }
        return Ok(Vec::new());
    }
    let strip: Strip = seal::read(&path).map_err(|why| Error::damaged(&path, why, way_out))?;
    let picture = |(i, label): (usize, Label)| {
        let path = folder.join(format!("{i:02}.png"));
        let png = files::bytes(&path).map_err(|why| Error::damaged(&path, why, way_out))?;
        if sha256(&png) != label.sha256 {
            return Err(Error::damaged(&path, "it is not the picture that was written", way_out));
        }
        Ok(Picture { png, clean: label.clean, given: label.given })
    };
    strip.pictures.into_iter().enumerate().map(picture).collect()
}
