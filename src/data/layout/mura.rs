//! MURA v1.1 (Rajpurkar et al. 2018, arXiv 1712.06957): X-rays of the arm, as
//! `MURA-v1.1/{train,valid}/XR_PART/patientNNNNN/studyK_{positive,negative}/imageJ.png`. `valid` is the test split, as in
//! the study; the authors' own test set is not published.
//!
//! The label is the part of the body, as in the study and in its author's order, or whether the study is abnormal. All is
//! read from the folders. The CSV files of the download are not read: they say the same, and have no header. The patient
//! is the group: one patient may have X-rays of several parts.

use super::official::Download;
use super::{Claims, Found, Layout, Open, OpenPath, files};
use crate::base::{Error, Result};
use crate::data::decode::{ImageFile, Listing};
use crate::data::{Split, classes};
use std::path::Path;

pub(super) const LAYOUT: Layout = Layout {
    name: "mura",
    takes: "mura:ROOT",
    help: "mura:ROOT, MURA-v1.1 as downloaded, with valid as the test split; the classes are parts of the body, with
    mura:ROOT?label=abnormality they are negative and positive",
    claims: Claims::Nothing,
    open: Open::Query(choose),
};

const DOWNLOAD: Download = Download {
    name: "mura",
    holds: "MURA-v1.1 with train and valid, each with the folders XR_ELBOW, XR_FINGER, XR_FOREARM, XR_HAND, XR_HUMERUS, \
            XR_SHOULDER and XR_WRIST",
    // The order of the study's author (github.com/Bidur-Khanal/ResNetVAE, utils.py).
    classes: &["XR_SHOULDER", "XR_HUMERUS", "XR_FINGER", "XR_WRIST", "XR_FOREARM", "XR_HAND", "XR_ELBOW"],
    images: [36_808, 0, 3_197],
};

/// What an image is labelled with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// The part of the body, without `XR_`.
    BodyPart,
    /// `negative` or `positive` (abnormal), of the whole study.
    Abnormality,
}

/// How the text after the `?` says to read.
fn choose(query: &str) -> Result<OpenPath> {
    fn open(root: &Path, label: Label) -> Result<Box<dyn Found>> {
        files(list(root, label))
    }
    match query {
        "" | "label=body_part" => Ok(|root| open(root, Label::BodyPart)),
        "label=abnormality" => Ok(|root| open(root, Label::Abnormality)),
        _ => {
            let query = classes::shown(query);
            Err(Error::Data(format!(
                "{query} after the ? of a mura: spec is not understood; give label=body_part or label=abnormality"
            )))
        }
    }
}

/// Lists the images of a download.
pub fn list(root: &Path, label: Label) -> Result<Listing> {
    let root = DOWNLOAD.find_splits(root, &["train", "valid"])?;
    let splits = [(Split::Train, DOWNLOAD.part(&root, "train")?), (Split::Test, DOWNLOAD.part(&root, "valid")?)];
    let mut listing = DOWNLOAD.list(&root, &splits, None)?;
    for entry in listing.files.iter_mut().flatten().flatten() {
        let (patient, positive) = study(entry)?;
        entry.group = Some(patient);
        if label == Label::Abnormality {
            entry.label = positive.into();
        }
    }
    listing.classes = match label {
        Label::BodyPart => DOWNLOAD.classes.iter().map(|c| c.trim_start_matches("XR_").to_string()).collect(),
        Label::Abnormality => vec!["negative".into(), "positive".into()],
    };
    listing.notes.push("labels and patients are those of the folders; the CSV files are not read".into());
    Ok(listing)
}

/// The patient of an image, and whether its study is positive: from `train/XR_HAND/patient00001/study1_positive/image1.png`.
fn study(entry: &ImageFile) -> Result<(String, bool)> {
    let parts: Vec<&str> = entry.name.split('/').collect();
    if let [_, _, patient, study, _] = parts.as_slice() {
        let study = study.to_ascii_lowercase();
        let sign = study.strip_prefix("study").and_then(|s| s.split_once('_')).map(|(_, sign)| sign);
        if let Some(sign @ ("positive" | "negative")) = sign.filter(|_| is_patient(patient)) {
            return Ok((patient.to_ascii_lowercase(), sign == "positive"));
        }
    }
    Err(Error::Data(format!(
        "{} does not stand at XR_PART/patientN/studyK_positive or studyK_negative, which give its patient and its label; \
         move it there or away",
        entry.path.display()
    )))
}

fn is_patient(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.strip_prefix("patient").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{class_tree, complaint, options};
    use crate::data::{inspect, load};
    use std::collections::BTreeSet;

    /// Fourteen patients of train and seven of valid. Each has an X-ray of the hand, and most have one of another part.
    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("MURA-v1.1");
        for (split, patients) in [("train", 0..14), ("valid", 14..21)] {
            for p in patients {
                for part in ["XR_HAND", DOWNLOAD.classes[p % 7]] {
                    let patient = root.join(split).join(part).join(format!("patient{p:05}"));
                    let study = format!("study1_{}", ["negative", "positive"][p % 2]);
                    class_tree(&patient, &[&study], "", 1, "png");
                }
            }
            for list in ["image_paths", "labeled_studies"] {
                std::fs::write(root.join(format!("{split}_{list}.csv")), "MURA-v1.1/x.png\n").unwrap();
            }
        }
        dir
    }

    fn patients(names: &[String]) -> BTreeSet<String> {
        names.iter().map(|name| name.split('/').nth(2).unwrap().to_string()).collect()
    }

    #[test]
    fn parts_of_the_body_are_in_the_authors_order_and_no_patient_is_divided() {
        let dir = tree();
        for root in [".", "MURA-v1.1"] {
            let data = load(&format!("mura:{root}"), &options(dir.path(), 1), &|_, _| ()).unwrap();
            assert_eq!(data.classes, ["SHOULDER", "HUMERUS", "FINGER", "WRIST", "FOREARM", "HAND", "ELBOW"]);
            assert_eq!(data.train.len() + data.val.len(), 26, "the first image of each CSV file counts, too");
            assert_eq!(data.test.class_counts(7), [1, 1, 1, 1, 1, 7, 1]);
            assert!(data.train.names.iter().all(|n| n.starts_with("train/XR_")), "{:?}", data.train.names);
            let [train, val] = [&data.train, &data.val].map(|p| patients(&p.names));
            assert!(!val.is_empty() && train.is_disjoint(&val), "{val:?}");
            let has = |text: &str| data.warnings.iter().any(|n| n.contains(text));
            assert!(has("patients: 14 in train, 7 in test; each is in one split only"), "{:?}", data.warnings);
            assert!(has("the CSV files are not read"), "{:?}", data.warnings);
        }
    }

    #[test]
    fn a_study_may_be_labelled_as_abnormal() {
        let dir = tree();
        let data = load("mura:MURA-v1.1?label=abnormality", &options(dir.path(), 1), &|_, _| ()).unwrap();
        assert_eq!(data.classes, ["negative", "positive"]);
        for part in [&data.train, &data.val, &data.test] {
            for (name, &label) in part.names.iter().zip(&part.labels) {
                assert_eq!(name.contains("_positive/"), label == 1, "{name}");
            }
        }
    }

    #[test]
    fn files_of_macos_are_counted_and_a_patient_of_both_splits_is_told() {
        let dir = tree();
        let root = dir.path().join("MURA-v1.1");
        let study = root.join("train/XR_ELBOW/patient00006/study1_negative");
        std::fs::write(study.join("._0.png"), "x").unwrap();
        std::fs::write(study.join("Thumbs.db"), "x").unwrap();
        std::fs::create_dir_all(root.join("valid/XR_HAND/patient00099/study1_positive")).unwrap();
        class_tree(&root.join("valid/XR_HAND/patient00003"), &["study2_positive"], "", 1, "PNG");
        let summary = inspect("mura:.", &options(dir.path(), 1)).unwrap();
        let has = |text: &str| summary.notes.iter().any(|n| n.contains(text));
        assert!(has("hidden images left out: 1; the first is 'train/XR_ELBOW/patient00006/"), "{:?}", summary.notes);
        assert!(has("the files have 1 in several splits") && has("the first is 'patient00003'"), "{:?}", summary.notes);
        assert!(has("2 images of train and val are left out: a later split has"), "{:?}", summary.notes);
        assert!(summary.fingerprint.is_some());
    }

    #[test]
    fn an_image_in_another_place_and_a_part_that_is_missing_are_refused() {
        let dir = tree();
        let root = dir.path().join("MURA-v1.1");
        let hand = root.join("train/XR_HAND");
        for wrong in
            ["patient00001/study1", "patient00001/study1_unknown", "p1/study1_positive", "patient/study1_positive"]
        {
            class_tree(&hand, &[wrong], "", 1, "png");
            let said = complaint(list(&root, Label::BodyPart));
            assert!(said.contains(wrong) && said.contains("does not stand at XR_PART/patientN/studyK_"), "{said}");
            std::fs::remove_dir_all(hand.join(wrong)).unwrap();
        }
        std::fs::rename(root.join("valid/XR_WRIST"), dir.path().join("away")).unwrap();
        let said = complaint(list(&root, Label::BodyPart));
        assert!(
            said.contains("valid has no XR_WRIST; the download of mura holds MURA-v1.1 with train and valid"),
            "{said}"
        );
        std::fs::remove_dir_all(root.join("valid")).unwrap();
        assert!(complaint(list(&root, Label::BodyPart)).contains("has no valid; the download"));
    }
}
