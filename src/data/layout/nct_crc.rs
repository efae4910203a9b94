//! NCT-CRC-HE (Kather et al. 2018, Zenodo 1214456): tiles of colorectal tissue in 9 classes, as class folders of TIFF files.
//! Train is `NCT-CRC-HE-100K` or `NCT-CRC-HE-100K-NONORM`, test is `CRC-VAL-HE-7K`, a download of its own. Classes are in
//! alphabetical order, as the order of the study's author is not known. The download does not name patients.

use super::official::{Download, NO_PATIENTS, child, is_called, unzipped};
use super::{Claims, Layout, Open, files};
use crate::base::{Error, Result};
use crate::data::Split;
use crate::data::decode::Listing;
use std::path::{Path, PathBuf};

pub(super) const LAYOUT: Layout = Layout {
    name: "nct-crc",
    takes: "nct-crc:ROOT",
    help: "nct-crc:ROOT, a folder with NCT-CRC-HE-100K (or NCT-CRC-HE-100K-NONORM) and CRC-VAL-HE-7K, which is the test
    split",
    claims: Claims::Nothing,
    open: Open::Path(|path| files(list(path))),
};

const DOWNLOAD: Download = Download {
    name: "nct-crc",
    holds: "NCT-CRC-HE-100K or NCT-CRC-HE-100K-NONORM, and CRC-VAL-HE-7K beside it, each with the class folders ADI, \
            BACK, DEB, LYM, MUC, MUS, NORM, STR and TUM of TIFF files",
    classes: &["ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM"],
    images: [100_000, 0, 7_180],
};

/// The downloads that are to learn from.
const TRAIN: [&str; 2] = ["NCT-CRC-HE-100K", "NCT-CRC-HE-100K-NONORM"];

/// The download that is to test on.
const TEST: &str = "CRC-VAL-HE-7K";

/// Lists the images of the two downloads in `root`. `root` may be the training folder itself, with the other beside it.
pub fn list(root: &Path) -> Result<Listing> {
    let holds_test = child(root, TEST).is_ok_and(|c| c.is_some());
    let itself = TRAIN.into_iter().find(|name| is_called(root, name) && !holds_test);
    let (folder, train) = match itself {
        Some(name) => {
            let whole = root.canonicalize().map_err(|e| Error::io(root, "find", e))?;
            (whole.parent().unwrap_or(&whole).to_path_buf(), name)
        }
        None => {
            let folder = DOWNLOAD.find(root, "NCT-CRC-HE-100K", holds_train)?;
            let train = only_train(&folder)?;
            (folder, train)
        }
    };
    let place = |name: &str| -> Result<PathBuf> { unzipped(DOWNLOAD.part(&folder, name)?, name) };
    let mut listing = DOWNLOAD.list(&folder, &[(Split::Train, place(train)?), (Split::Test, place(TEST)?)], None)?;
    listing.notes.push(NO_PATIENTS.into());
    Ok(listing)
}

fn holds_train(folder: &Path) -> bool {
    TRAIN.iter().any(|name| child(folder, name).is_ok_and(|c| c.is_some()))
}

/// The one folder in `folder` to learn from.
fn only_train(folder: &Path) -> Result<&'static str> {
    let [first, second] = TRAIN;
    match (child(folder, first)?, child(folder, second)?) {
        (Some(a), Some(b)) => Err(Error::Data(format!(
            "{} and {} hold the same tissue; give the folder that is meant, as in nct-crc:{}",
            a.display(),
            b.display(),
            a.display()
        ))),
        (None, _) => Ok(second),
        (_, None) => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;
    use crate::data::testing::{class_tree, complaint, options};

    /// A TIFF file of one strip with 8 × 8 RGB pixels, which depend only on `seed`.
    fn tiff(seed: u8) -> Vec<u8> {
        let mut file = b"II*\0\x08\0\0\0\x09\0".to_vec();
        let size = 8 + 2 + 9 * 12 + 4;
        // Tag, type (3 short, 4 long), count, value: width, height, bits, no compression, RGB, where the strip is,
        // samples of a pixel, rows of the strip, its bytes.
        let fields = [
            (256u16, 3u16, 1u32, 8u32),
            (257, 3, 1, 8),
            (258, 3, 3, size),
            (259, 3, 1, 1),
            (262, 3, 1, 2),
            (273, 4, 1, size + 6),
            (277, 3, 1, 3),
            (278, 3, 1, 8),
            (279, 4, 1, 192),
        ];
        for (tag, kind, count, value) in fields {
            file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            file.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
        }
        file.extend([0; 4]); // no further picture
        file.extend([8, 0, 8, 0, 8, 0]);
        file.extend((0..192u8).map(|i| i.wrapping_mul(seed) ^ seed));
        file
    }

    /// The two downloads, with TIFF files.
    fn tree(train: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut seed = 0;
        for (folder, each) in [(train, 3), (TEST, 1)] {
            for class in DOWNLOAD.classes {
                for i in 0..each {
                    let file = dir.path().join(format!("{folder}/{class}/{class}-{i}.tif"));
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    seed += 1;
                    std::fs::write(file, tiff(seed)).unwrap();
                }
            }
        }
        dir
    }

    #[test]
    fn tiles_are_read_and_tested_on_the_other_download() {
        for train in TRAIN {
            let dir = tree(train);
            let data = load("nct-crc:.", &options(dir.path(), 3), &|_, _| ()).unwrap();
            assert_eq!(data.classes, DOWNLOAD.classes);
            assert_eq!((data.train.len(), data.val.len(), data.test.len()), (18, 9, 9));
            assert_eq!(data.test.names[8], "CRC-VAL-HE-7K/TUM/TUM-0.tif");
            assert_eq!(data.test.image(8).unwrap(), &tiff(36)[tiff(36).len() - 192..], "pixels as they are");
            let has = |text: &str| data.warnings.iter().any(|n| n.contains(text));
            assert!(has("does not name patients") && has("27 in train, 9 in test; the whole download has 100000"));
        }
    }

    #[test]
    fn a_folder_may_be_doubled_or_named_itself_and_two_of_them_are_refused() {
        let dir = tree(TRAIN[0]);
        let root = dir.path();
        std::fs::rename(root.join(TRAIN[0]), root.join("inner")).unwrap();
        std::fs::create_dir(root.join(TRAIN[0])).unwrap();
        std::fs::rename(root.join("inner"), root.join(TRAIN[0]).join(TRAIN[0])).unwrap();
        for given in [root.to_path_buf(), root.join(TRAIN[0]), root.join(TRAIN[0]).join("../NCT-CRC-HE-100K")] {
            assert_eq!(list(&given).unwrap().files[0].as_ref().unwrap().len(), 27, "{}", given.display());
        }

        class_tree(&root.join(TRAIN[1]), DOWNLOAD.classes, "", 1, "TIF");
        let said = complaint(list(root));
        assert!(said.contains("hold the same tissue; give the folder that is meant, as in nct-crc:"), "{said}");
        let listing = list(&root.join(TRAIN[1])).unwrap();
        assert_eq!(listing.files.map(|f| f.map_or(0, |f| f.len())), [9, 0, 9]);

        std::fs::remove_dir_all(root.join(TRAIN[0])).unwrap();
        std::fs::remove_dir_all(root.join(TEST)).unwrap();
        let said = complaint(list(root));
        assert!(said.contains("has no CRC-VAL-HE-7K; the download of nct-crc holds NCT-CRC-HE-100K or"), "{said}");
        std::fs::remove_dir_all(root.join(TRAIN[1])).unwrap();
        assert!(complaint(list(root)).contains("has no NCT-CRC-HE-100K; the download"));
    }
}
