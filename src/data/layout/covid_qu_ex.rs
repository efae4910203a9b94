//! COVID-QU-Ex (Tahir et al. 2021, Kaggle anasmohammedtahir/covidqu): chest X-rays in 3 classes, as
//! `Lung Segmentation Data/Lung Segmentation Data/{Train,Val,Test}/CLASS/{images,lung masks}/`. Only `images` is read.
//! `Infection Segmentation Data`, the other folder of the download, is not. Classes are in alphabetical order, as the
//! order of the study's author is not known. The download does not name patients.

use super::official::{Download, NO_PATIENTS, child, is_called, unzipped};
use super::{Claims, Layout, Open, files};
use crate::base::Result;
use crate::data::Split;
use crate::data::decode::Listing;
use std::path::{Path, PathBuf};

pub(super) const LAYOUT: Layout = Layout {
    name: "covid-qu-ex",
    takes: "covid-qu-ex:ROOT",
    help: "covid-qu-ex:ROOT, COVID-QU-Ex as downloaded: 'Lung Segmentation Data' with Train, Val and Test",
    claims: Claims::Nothing,
    open: Open::Path(|path| files(list(path))),
};

const DOWNLOAD: Download = Download {
    name: "covid-qu-ex",
    holds: "'Lung Segmentation Data/Lung Segmentation Data' with Train, Val and Test, each with the class folders \
            COVID-19, Non-COVID and Normal, and in each of these a folder 'images'",
    classes: &["COVID-19", "Non-COVID", "Normal"],
    images: [21_715, 5_417, 6_788],
};

const LUNGS: &str = "Lung Segmentation Data";
const INFECTIONS: &str = "Infection Segmentation Data";

/// Lists the images of a download.
pub fn list(root: &Path) -> Result<Listing> {
    let lungs = |folder: &Path| -> Option<PathBuf> {
        if is_called(folder, LUNGS) { Some(folder.into()) } else { child(folder, LUNGS).ok().flatten() }
    };
    let found = DOWNLOAD.find(root, LUNGS, |folder| lungs(folder).is_some())?;
    let folder = unzipped(lungs(&found).unwrap_or(found), LUNGS)?;
    let splits = [(Split::Train, "Train"), (Split::Val, "Val"), (Split::Test, "Test")];
    let place = |(split, name): (Split, &str)| Ok((split, DOWNLOAD.part(&folder, name)?));
    let splits = splits.into_iter().map(place).collect::<Result<Vec<_>>>()?;
    let mut listing = DOWNLOAD.list(&folder, &splits, Some("images"))?;
    let above = folder.canonicalize().unwrap_or_else(|_| folder.clone());
    if above.ancestors().skip(1).take(2).any(|f| child(f, INFECTIONS).is_ok_and(|c| c.is_some())) {
        listing.notes.push(format!("the folder '{INFECTIONS}' is not read"));
    }
    listing.notes.push(NO_PATIENTS.into());
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;
    use crate::data::testing::{class_tree, complaint, options};

    /// A download of both folders, each of them doubled.
    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (i, part) in [LUNGS, INFECTIONS].into_iter().enumerate() {
            for (split, each) in [("Train", 3), ("Val", 2), ("Test", 1)] {
                let folder = dir.path().join("set").join(part).join(part).join(split);
                for inner in ["images", "lung masks", "infection masks"].iter().take(2 + i) {
                    class_tree(&folder, DOWNLOAD.classes, inner, each, "png");
                }
            }
        }
        dir
    }

    #[test]
    fn images_are_read_from_any_folder_of_the_download_and_masks_are_not() {
        let dir = tree();
        let single = tempfile::tempdir().unwrap();
        let inner = dir.path().join("set").join(LUNGS).join(LUNGS);
        for spec in [".", "set", "set/Lung Segmentation Data", "set/Lung Segmentation Data/Lung Segmentation Data"] {
            let data = load(&format!("covid-qu-ex:{spec}"), &options(dir.path(), 1), &|_, _| ()).unwrap();
            assert_eq!(data.classes, ["COVID-19", "Non-COVID", "Normal"]);
            assert_eq!((data.train.len(), data.val.len(), data.test.len()), (9, 6, 3), "{spec}");
            assert_eq!(data.test.names[2], "Test/Normal/images/0.png");
            let has = |text: &str| data.warnings.iter().any(|n| n.contains(text));
            assert!(has("'Infection Segmentation Data' is not read"), "{:?}", data.warnings);
            assert!(has("of a class that are not read: 'lung masks'"), "{:?}", data.warnings);
            assert!(has("does not name patients") && has("9 in train, 6 in val, 3 in test"), "{:?}", data.warnings);
        }
        std::fs::rename(&inner, single.path().join(LUNGS)).unwrap();
        let listing = list(single.path()).unwrap();
        assert_eq!(listing.files.map(|f| f.unwrap().len()), [9, 6, 3], "not doubled");
        assert!(!listing.notes.iter().any(|n| n.contains("Infection")), "{:?}", listing.notes);
    }

    #[test]
    fn a_part_that_is_missing_is_named() {
        let dir = tree();
        let infections = dir.path().join("set").join(INFECTIONS);
        let said = complaint(list(&infections));
        assert!(said.contains("has no Lung Segmentation Data; the download of covid-qu-ex holds"), "{said}");
        let inner = dir.path().join("set").join(LUNGS).join(LUNGS);
        std::fs::rename(inner.join("Val/Normal/images"), inner.join("Val/Normal/pictures")).unwrap();
        let said = complaint(list(dir.path()));
        assert!(said.contains("Val/Normal has no images; the download"), "{said}");
        std::fs::remove_dir_all(inner.join("Val")).unwrap();
        assert!(complaint(list(dir.path())).contains("has no Val; the download"));
    }
}
