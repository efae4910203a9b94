//! DermNet (Kaggle shubhamgoel27/dermnet): photographs of skin diseases in 23 classes, as `train/CLASS/` and
//! `test/CLASS/` with long names of classes. Classes are in alphabetical order, as the order of the study's author is not
//! known. The download does not name patients.

use super::official::{Download, NO_PATIENTS};
use super::{Claims, Layout, Open, files};
use crate::base::Result;
use crate::data::Split;
use crate::data::decode::Listing;
use std::path::Path;

pub(super) const LAYOUT: Layout = Layout {
    name: "dermnet",
    takes: "dermnet:ROOT",
    help: "dermnet:ROOT, DermNet of Kaggle as downloaded: train and test with 23 class folders each",
    claims: Claims::Nothing,
    open: Open::Path(|path| files(list(path))),
};

const DOWNLOAD: Download = Download {
    name: "dermnet",
    holds: "train and test, each with 23 class folders of JPEG files",
    classes: &[
        "Acne and Rosacea Photos",
        "Actinic Keratosis Basal Cell Carcinoma and other Malignant Lesions",
        "Atopic Dermatitis Photos",
        "Bullous Disease Photos",
        "Cellulitis Impetigo and other Bacterial Infections",
        "Eczema Photos",
        "Exanthems and Drug Eruptions",
        "Hair Loss Photos Alopecia and other Hair Diseases",
        "Herpes HPV and other STDs Photos",
        "Light Diseases and Disorders of Pigmentation",
        "Lupus and other Connective Tissue diseases",
        "Melanoma Skin Cancer Nevi and Moles",
        "Nail Fungus and other Nail Disease",
        "Poison Ivy Photos and other Contact Dermatitis",
        "Psoriasis pictures Lichen Planus and related diseases",
        "Scabies Lyme Disease and other Infestations and Bites",
        "Seborrheic Keratoses and other Benign Tumors",
        "Systemic Disease",
        "Tinea Ringworm Candidiasis and other Fungal Infections",
        "Urticaria Hives",
        "Vascular Tumors",
        "Vasculitis Photos",
        "Warts Molluscum and other Viral Infections",
    ],
    images: [15_557, 0, 4_002],
};

/// Lists the images of a download.
pub fn list(root: &Path) -> Result<Listing> {
    let root = DOWNLOAD.find_splits(root, &["train", "test"])?;
    let splits = [(Split::Train, DOWNLOAD.part(&root, "train")?), (Split::Test, DOWNLOAD.part(&root, "test")?)];
    let mut listing = DOWNLOAD.list(&root, &splits, None)?;
    listing.notes.push(NO_PATIENTS.into());
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{class_tree, complaint, options};
    use crate::data::{inspect, load};

    /// Two images of each class in train and one in test, below `place`.
    fn tree(place: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (split, each) in [("train", 2), ("test", 1)] {
            class_tree(&dir.path().join(place).join(split), DOWNLOAD.classes, "", each, "jpg");
        }
        dir
    }

    #[test]
    fn a_download_is_read_from_its_folder_or_the_one_above() {
        for place in ["", "dermnet"] {
            let dir = tree(place);
            let data = load("dermnet:.", &options(dir.path(), 3), &|_, _| ()).unwrap();
            assert_eq!(data.classes, DOWNLOAD.classes);
            assert_eq!((data.train.len(), data.val.len(), data.test.len()), (23, 23, 23));
            assert_eq!(data.test.names[1], format!("test/{}/0.jpg", DOWNLOAD.classes[1]));
            assert_eq!(data.test.labels, Vec::from_iter(0..23));
        }
        let mut sorted: Vec<String> = DOWNLOAD.classes.iter().map(|c| c.to_string()).collect();
        crate::data::classes::sort(&mut sorted);
        assert_eq!(sorted, DOWNLOAD.classes, "the same numbers as without 'dermnet:'");
    }

    #[test]
    fn two_downloads_and_two_spellings_of_a_folder_are_refused() {
        let dir = tree("a");
        let one = DOWNLOAD.classes[0];
        class_tree(&dir.path().join("b/train"), &[one], "", 1, "jpg");
        std::fs::create_dir_all(dir.path().join("isic9/train/nevus")).unwrap();
        let said = complaint(list(dir.path()));
        assert!(said.contains("a and ") && said.contains("b both are a download of dermnet"), "{said}");
        std::fs::remove_dir_all(dir.path().join("b")).unwrap();
        let upper = dir.path().join("a/train").join(one.to_uppercase());
        std::fs::create_dir(&upper).ok(); // some file systems do not tell capitals apart
        if std::fs::read_dir(&upper).unwrap().count() == 0 {
            assert!(complaint(list(dir.path())).contains("differ only in case; keep one"));
            std::fs::remove_dir_all(dir.path().join("a/train").join(one)).unwrap();
            class_tree(&dir.path().join("a/train"), &[&one.to_uppercase()], "", 2, "jpg");
        }
        assert_eq!(list(dir.path()).unwrap().classes, DOWNLOAD.classes, "names are those of the download");
    }

    #[test]
    fn what_does_not_belong_is_told_and_what_is_missing_refused() {
        let dir = tree("");
        let root = dir.path();
        let class = root.join("train").join(DOWNLOAD.classes[22]);
        std::fs::rename(class.join("0.jpg"), class.join("0.JPG")).unwrap();
        std::fs::rename(class.join("1.jpg"), class.join("1.Jpeg")).unwrap();
        for file in ["Thumbs.db", "._0.jpg", "notes.txt"] {
            std::fs::write(class.join(file), "x").unwrap();
        }
        std::fs::create_dir(root.join("train/New folder")).unwrap();
        let notes = inspect("dermnet:.", &options(root, 3)).unwrap().notes;
        let has = |text: &str| notes.iter().any(|n| n.contains(text));
        assert!(
            has("images: 46 in train, 23 in test; the whole download has 15557 in train, 4002 in test"),
            "{notes:?}"
        );
        assert!(has("files not read: 1 (1 .txt)") && has("hidden images left out: 1"), "{notes:?}");
        assert!(has("does not name patients"), "{notes:?}");

        class_tree(&root.join("train"), &["Moles"], "", 1, "jpg");
        let said = complaint(list(root));
        assert!(said.contains("Moles is no class of dermnet") && said.contains("without 'dermnet:'"), "{said}");
        std::fs::remove_dir_all(root.join("train/Moles")).unwrap();
        std::fs::rename(class, root.join("away")).unwrap();
        let said = complaint(list(root));
        assert!(
            said.contains("has no Warts Molluscum") && said.contains("holds train and test, each with 23"),
            "{said}"
        );
        std::fs::remove_dir_all(root.join("test")).unwrap();
        assert!(complaint(list(root)).contains("has no test; the download of dermnet holds"));
        std::fs::remove_dir_all(root.join("train")).unwrap();
        assert!(complaint(list(root)).contains("has no train and test with class folders"));
        std::fs::write(root.join("file"), "x").unwrap();
        assert!(complaint(list(&root.join("file"))).contains("is not a folder"));
    }
}
