//! For tests only: class folders in which file names begin with the patient, as in `p07_3.png`. Splits never divide a
//! patient.

use super::{Claims, Layout, Open, files, folder};
use crate::base::Result;
use crate::data::decode::Listing;
use std::path::Path;

pub(super) const LAYOUT: Layout = Layout {
    name: "patients",
    takes: "patients:DIR",
    help: "patients:DIR, a folder of class folders with files called PATIENT_N",
    claims: Claims::Nothing,
    open: Open::Path(|path| files(list(path))),
};

fn list(root: &Path) -> Result<Listing> {
    let mut listing = folder::list(root)?;
    for entry in listing.files.iter_mut().flatten().flatten() {
        let stem = entry.path.file_stem().unwrap_or_default().to_string_lossy();
        entry.group = stem.split_once('_').map(|(patient, _)| patient.to_string());
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use crate::data::testing::{complaint, options, write_png};
    use crate::data::{Split, inspect, load};
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Writes images of `patients` patients. Each patient has `each` images of every class.
    fn write(root: &Path, split: &str, patients: std::ops::Range<u64>, each: u64) {
        for p in patients {
            for (c, class) in ["a", "b"].iter().enumerate() {
                for i in 0..each {
                    let seed = 100_000 * split.len() as u64 + 1000 * p + 100 * c as u64 + i;
                    write_png(&root.join(format!("{split}{class}/p{p:02}_{i}.png")), seed, 9);
                }
            }
        }
    }

    fn patient(name: &str) -> String {
        name.rsplit('/').next().unwrap().split('_').next().unwrap().to_string()
    }

    #[test]
    fn no_split_divides_a_patient() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "s/train/", 0..20, 3);
        write(dir.path(), "s/test/", 20..25, 2);
        let mut cuts = BTreeSet::new();
        for seed in 0..5 {
            let options = crate::data::LoadOptions { seed, ..options(dir.path(), 1) };
            let data = load("patients:s", &options, &|_, _| ()).unwrap();
            let of = |split| data.part(split).names.iter().map(|n| patient(n)).collect::<BTreeSet<_>>();
            let [train, val, test] = Split::ALL.map(of);
            assert!(train.is_disjoint(&val) && train.is_disjoint(&test) && val.is_disjoint(&test));
            assert_eq!((train.len(), val.len(), test.len()), (16, 4, 5), "a fifth of the patients");
            assert_eq!(data.val.class_counts(2), [12, 12]);
            assert_eq!(data.fingerprint, load("patients:s", &options, &|_, _| ()).unwrap().fingerprint);
            assert!(data.warnings.iter().any(|w| w.contains("20 in train, 5 in test")), "{:?}", data.warnings);
            cuts.insert(val);
            let plain = load("s", &options, &|_, _| ()).unwrap();
            assert_ne!(plain.val.names, data.val.names, "class folders do not know patients");
        }
        assert!(cuts.len() > 1, "the seed decides");
    }

    #[test]
    fn a_patient_of_a_later_split_leaves_the_earlier_ones() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "s/train/", 0..6, 1);
        write(dir.path(), "s/val/", 5..8, 1);
        for (class, seed) in [("a", 1), ("b", 2)] {
            write_png(&dir.path().join(format!("s/test/{class}/p00_9.png")), 90_000 + seed, 9);
            write_png(&dir.path().join(format!("s/test/{class}/p07_9.png")), 91_000 + seed, 9);
        }
        let cached = crate::data::LoadOptions { cache: Some(dir.path().join("cache")), ..options(dir.path(), 1) };
        for _ in 0..2 {
            let data = load("patients:s", &cached, &|_, _| ()).unwrap();
            let of = |split| data.part(split).names.iter().map(|n| patient(n)).collect::<BTreeSet<_>>();
            assert_eq!(Vec::from_iter(of(Split::Train)), ["p01", "p02", "p03", "p04"]);
            assert_eq!(Vec::from_iter(of(Split::Val)), ["p05", "p06"]);
            assert_eq!((data.test.len(), data.dropped_duplicates), (4, 0));
            assert!(data.warnings.iter().any(|w| w.starts_with("6 images of train and val are left out")));
        }
        let summary = inspect("patients:s", &cached).unwrap();
        assert!(summary.notes.iter().any(|n| n.contains("6 images of train and val")), "{:?}", summary.notes);
    }

    #[test]
    fn one_patient_only_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "one/train/", 3..4, 4);
        write(dir.path(), "one/test/", 3..4, 1);
        let said = complaint(load("patients:one", &options(dir.path(), 1), &|_, _| ()));
        assert!(said.contains("all of its images are of one patient, 'p03'"), "{said}");
        std::fs::remove_dir_all(dir.path().join("one/test")).unwrap();
        write(dir.path(), "one/test/", 4..5, 4);
        let said = complaint(load("patients:one", &options(dir.path(), 1), &|_, _| ()));
        assert!(said.contains("all training images are of one patient, 'p03', so none can be held out"), "{said}");
        write(dir.path(), "one/val/", 5..6, 4);
        assert_eq!(load("patients:one", &options(dir.path(), 1), &|_, _| ()).unwrap().val.len(), 8);

        // If only one patient has images of a class, all of them stay in train.
        for i in 0..3 {
            write_png(&dir.path().join(format!("rare/train/c/p90_{i}.png")), 70 + i, 9);
        }
        write(dir.path(), "rare/train/", 0..10, 2);
        write(dir.path(), "rare/test/", 20..22, 2);
        let data = load("patients:rare", &options(dir.path(), 1), &|_, _| ()).unwrap();
        assert_eq!((data.train.class_counts(3), data.val.class_counts(3)), (vec![16, 16, 3], vec![4, 4, 0]));
        assert!(
            data.warnings.iter().any(|w| w.contains("too few patients") && w.ends_with("'c'")),
            "{:?}",
            data.warnings
        );

        // With two patients and one class each, holding out a patient would remove a class.
        for i in 0..4 {
            write_png(&dir.path().join(format!("two/train/a/p00_{i}.png")), i, 9);
            write_png(&dir.path().join(format!("two/train/b/p01_{i}.png")), 10 + i, 9);
            write_png(&dir.path().join(format!("two/test/b/p02_{i}.png")), 20 + i, 9);
        }
        let said = complaint(load("patients:two", &options(dir.path(), 1), &|_, _| ()));
        assert!(said.contains("no patient can be held out for validation"), "{said}");
    }
}
