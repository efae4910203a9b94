//! Tests of folders of class folders: what is listed, what is left out, and what is refused.

use super::*;
use crate::data::testing::{complaint, options, write_png};
use crate::data::{LoadOptions, inspect, load};

fn small(root: &Path) {
    for (s, split) in ["Train", "VALID", "test"].iter().enumerate() {
        for (c, class) in ["b", "a"].iter().enumerate() {
            for i in 0..3 {
                let seed = 100 * s as u64 + 10 * c as u64 + i;
                write_png(&root.join(format!("{split}/{class}/{i}.png")), seed, 10);
            }
        }
    }
}

#[test]
fn splits_classes_and_names_are_sorted() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let told = std::cell::Cell::new((0, 0));
    let data = load(".", &options(dir.path(), 3), &|done, total| told.set((done, total))).unwrap();
    assert_eq!(told.get(), (18, 18));
    assert_eq!(data.classes, ["a", "b"]);
    assert_eq!((data.train.len(), data.val.len(), data.test.len()), (6, 6, 6));
    assert_eq!(data.train.labels, [0, 0, 0, 1, 1, 1]);
    assert_eq!(data.train.names[0], "Train/a/0.png");
    assert_eq!(data.train.all().unwrap().len(), 6 * 8 * 8 * 3);
    assert_eq!(data.dropped_duplicates, 0);
    assert_eq!(data.fingerprint, load(".", &options(dir.path(), 3), &|_, _| ()).unwrap().fingerprint);
    assert_ne!(data.fingerprint, load(".", &options(dir.path(), 1), &|_, _| ()).unwrap().fingerprint);
}

#[test]
fn a_damaged_image_is_named_and_left_out_unless_it_must_not_be() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    for (class, seed) in [("a", 1000), ("b", 2000)] {
        (3..10).for_each(|i| write_png(&dir.path().join(format!("Train/{class}/{i}0.png")), seed + i, 10));
    }
    let path = dir.path().join("Train/a/1.png");
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 7, 20, whole.len() / 2] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let strict = LoadOptions { strict: true, ..options(dir.path(), 3) };
        let said = complaint(load(".", &strict, &|_, _| ()));
        assert!(said.contains("1 of its 32 images cannot be decoded, and data.strict (--strict)"), "{said}");
        assert!(said.contains("the first is Train/a/1.png: "), "{said}");
        assert!(inspect(".", &strict).unwrap().fingerprint.is_none());
    }
    let kept = tempfile::tempdir().unwrap();
    let cached = LoadOptions { cache: Some(kept.path().into()), ..options(dir.path(), 3) };
    let decoded = std::cell::Cell::new(0);
    for due in [32, 0] {
        decoded.set(0);
        let data = load(".", &cached, &|done, _| decoded.set(done)).unwrap();
        assert_eq!((decoded.get(), data.train.len(), data.left_out.len()), (due, 19, 1));
        assert_eq!((&data.left_out[0].name[..], data.left_out[0].split), ("Train/a/1.png", Split::Train));
        assert!(data.warnings.iter().any(|w| w.starts_with("1 image cannot be decoded and is left out")));
    }
    let summary = inspect(".", &options(dir.path(), 3)).unwrap();
    assert_eq!(summary.unreadable.len(), 1);
    assert!(summary.to_string().contains("Train/a/1.png: "), "{summary}");
    let address = summary.fingerprint.unwrap();
    // The same images without the broken file are other data, and so is another broken file.
    std::fs::rename(&path, dir.path().join("Train/a/9.png")).unwrap();
    let other = inspect(".", &options(dir.path(), 3)).unwrap().fingerprint.unwrap();
    std::fs::remove_file(dir.path().join("Train/a/9.png")).unwrap();
    let without = inspect(".", &options(dir.path(), 3)).unwrap().fingerprint.unwrap();
    assert!(address != without && address != other && other != without);
    for name in ["b/0", "b/1"] {
        std::fs::write(dir.path().join(format!("Train/{name}.png")), "words").unwrap();
    }
    let said = complaint(load(".", &options(dir.path(), 3), &|_, _| ()));
    assert!(said.contains("2 of its 19 train images cannot be decoded, more than a tenth"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_a_dataset_is_refused_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let refuse = || complaint(load(".", &options(root, 3), &|_, _| ()));
    assert!(refuse().contains("no class folders"));
    small(root);
    std::fs::create_dir(root.join("Train/c")).unwrap();
    assert!(refuse().contains("Train/c holds no image"));
    std::fs::remove_dir(root.join("Train/c")).unwrap();
    write_png(&root.join("test/c/0.png"), 7, 10);
    assert!(refuse().contains("train has no image of the class 'c', but test/c/0.png of test is of it"));
    std::fs::remove_dir_all(root.join("test/c")).unwrap();
    write_png(&root.join("test/0.png"), 7, 10);
    assert!(refuse().contains("outside any class folder"));
    std::fs::remove_file(root.join("test/0.png")).unwrap();
    std::fs::create_dir(root.join("val")).unwrap();
    assert!(refuse().contains("both name the val split"));
    std::fs::rename(root.join("val"), root.join("more")).unwrap();
    assert!(refuse().contains("'more'"));
    std::fs::remove_dir(root.join("more")).unwrap();
    std::fs::remove_dir_all(root.join("Train")).unwrap();
    assert!(refuse().contains("there is no train split, it has only val and test"));
}

#[test]
fn without_a_test_split_nothing_is_loaded_but_inspected() {
    let dir = tempfile::tempdir().unwrap();
    write_png(&dir.path().join("x/0.png"), 1, 10);
    write_png(&dir.path().join("y/0.png"), 2, 12);
    assert!(complaint(load(".", &options(dir.path(), 1), &|_, _| ())).contains("no test split"));
    let summary = inspect(".", &options(dir.path(), 1)).unwrap();
    assert_eq!(summary.splits.len(), 1);
    assert_eq!(summary.image_sizes.len(), 2);
}

/// A dataset of two classes with train and test, and the files of `more`.
fn with(more: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let usual = ["train/a/0.png", "train/a/1.png", "train/b/0.png", "train/b/1.png", "test/a/0.png", "test/b/0.png"];
    for (i, name) in usual.iter().chain(more).enumerate() {
        write_png(&dir.path().join(name), 300 + i as u64, 10);
    }
    dir
}

/// The number of images of each class of train, and the notes.
fn counted(dir: &tempfile::TempDir) -> (Vec<usize>, Vec<String>) {
    let listing = list(dir.path()).unwrap();
    let mut counts = vec![0; listing.classes.len()];
    listing.files[0].iter().flatten().for_each(|e| counts[e.label as usize] += 1);
    (counts, listing.notes)
}

#[test]
fn hidden_and_system_folders_are_not_looked_into() {
    let dir = with(&[
        "train/a/.ipynb_checkpoints/0-checkpoint.png",
        "train/a/__MACOSX/0.png",
        "train/a/deep/.x/y/0.png",
        "train/a/._0.png",
        ".Trash-1000/a/0.png",
        "train/@eaDir/0.png",
        "test/b/$RECYCLE.BIN/0.png",
    ]);
    std::fs::write(dir.path().join("train/a/Thumbs.db"), "x").unwrap();
    std::fs::write(dir.path().join("train/a/.DS_Store"), "x").unwrap();
    let (counts, notes) = counted(&dir);
    assert_eq!(counts, [2, 2]);
    assert!(notes[0].contains("not searched: 6; the first is '.Trash-1000'"), "{notes:?}");
    assert!(notes[1].contains("hidden images left out: 1") && notes[1].contains("train/a/._0.png"), "{notes:?}");
    assert_eq!(notes.len(), 2);
}

#[test]
fn masks_below_class_folders_are_left_out_and_told() {
    let dir = with(&[
        "train/a/images/5.png",
        "train/a/lung masks/5.png",
        "train/a/Infection_Masks/5.png",
        "train/a/masks/deep/5.png",
        "train/b/x.png",
        "train/b/x_mask.png",
        "train/b/x_mask_1.png",
        "train/b/y_mask.png",
        "train/b/more/x_segmentation.png",
        "train/b/without_mask/5.png",
        "train/b/masked/5.png",
        "test/a/0_Mask.png",
    ]);
    let (counts, notes) = counted(&dir);
    // Class b has its usual two, x, the y_mask without a y, and the images of the two folders that are no mask
    // folders.
    assert_eq!(counts, [3, 6], "{notes:?}");
    assert!(notes[0].starts_with("masks left out: 7 ("), "{notes:?}");
    assert!(notes[0].contains("1 in 'train/a/lung masks'") || notes[0].contains("more"), "{notes:?}");
}

#[test]
fn a_class_may_be_called_mask() {
    let dir = tempfile::tempdir().unwrap();
    for (i, name) in
        ["train/mask/0.png", "train/no_mask/0.png", "test/mask/0.png", "test/no_mask/0.png"].iter().enumerate()
    {
        write_png(&dir.path().join(name), i as u64, 10);
    }
    assert_eq!(counted(&dir), (vec![1, 1], Vec::new()));
    let dir = with(&["train/c/masks/0.png"]);
    assert!(complaint(list(dir.path())).contains("train/c holds only masks (1)"));
}

#[test]
fn files_that_are_not_read_are_counted_by_ending_and_named() {
    let dir = with(&[]);
    for name in ["train/a/x.jp2", "train/a/y.JP2", "train/b/scan.nii", "test/a/IM0001", "notes.txt"] {
        std::fs::write(dir.path().join(name), "x").unwrap();
    }
    let listing = list(dir.path()).unwrap();
    assert!(listing.notes[0].starts_with("files not read: 5 ("), "{:?}", listing.notes);
    assert!(listing.notes[0].contains("the first is 'notes.txt'"), "{:?}", listing.notes);
    let due = [(".jp2", 2), (".nii", 1), (".txt", 1), ("no ending", 1)].map(|(e, n)| (e.to_string(), n));
    assert_eq!(listing.unread, due.into());
    let summary = inspect(".", &options(dir.path(), 1)).unwrap();
    assert!(summary.to_string().contains("files not read: 5 (2 .jp2, 1 .nii, 1 .txt, 1 no ending)"), "{summary}");
    assert_eq!(summary.unread[".jp2"], 2);
    std::fs::create_dir(dir.path().join("train/c")).unwrap();
    std::fs::write(dir.path().join("train/c/0.jp2"), "x").unwrap();
    assert!(complaint(list(dir.path())).contains("train/c holds files (1), but none that is read"));
}

#[test]
fn classes_that_look_alike_or_are_numbers() {
    let dir = with(&["test/A/0.png"]);
    let said = complaint(load(".", &options(dir.path(), 1), &|_, _| ()));
    assert!(said.contains("'A'") && said.contains("differs from 'a' only in case"), "{said}");
    let dir = with(&["train/caf\u{e9}/0.png", "test/cafe\u{301}/0.png"]);
    let said = complaint(load(".", &options(dir.path(), 1), &|_, _| ()));
    assert!(said.contains("only in Unicode form"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    for (i, class) in ["10", "2", "1"].iter().enumerate() {
        write_png(&dir.path().join(format!("train/{class}/0.png")), i as u64, 9);
    }
    let listing = list(dir.path()).unwrap();
    assert_eq!(listing.classes, ["1", "2", "10"]);
    let names: Vec<_> = listing.files[0].iter().flatten().map(|e| (e.name.as_str(), e.label)).collect();
    assert_eq!(names, [("train/1/0.png", 0), ("train/2/0.png", 1), ("train/10/0.png", 2)]);
}

#[test]
fn a_tree_named_one_folder_too_high_is_refused() {
    let dir = with(&[]);
    std::fs::create_dir(dir.path().join("up")).unwrap();
    for split in ["train", "test"] {
        std::fs::rename(dir.path().join(split), dir.path().join("up").join(split)).unwrap();
    }
    let said = complaint(list(dir.path()));
    assert!(said.contains("up holds split folders"), "{said}");
}

#[test]
fn a_set_without_train_serves_an_evaluation_alone() {
    use crate::data::{Need, load_for};
    let dir = with(&[]);
    std::fs::remove_dir_all(dir.path().join("train")).unwrap();
    let options = options(dir.path(), 1);
    let said = complaint(load(".", &options, &|_, _| ()));
    assert!(said.contains("no train split, it has only test") && said.contains("--split test"), "{said}");
    let data = load_for(".", &options, Need::Evaluation(Split::Test), &|_, _| ()).unwrap();
    assert_eq!((data.train.len(), data.val.len(), data.test.len()), (0, 0, 2));
    assert_eq!(data.classes, ["a", "b"]);
    for split in [Split::Train, Split::Val] {
        let said = complaint(load_for(".", &options, Need::Evaluation(split), &|_, _| ()));
        assert!(said.contains("it has only test"), "{said}");
    }
    let summary = inspect(".", &options).unwrap();
    assert!(summary.to_string().contains("can be evaluated"), "{summary}");
}

#[cfg(unix)]
#[test]
fn links_pipes_and_names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let dir = with(&[]);
    let root = dir.path();
    std::os::unix::fs::symlink(root.join("train"), root.join("train/a/up")).unwrap();
    assert!(complaint(list(root)).contains("is a link back to"));
    std::fs::remove_file(root.join("train/a/up")).unwrap();
    std::os::unix::fs::symlink("gone.png", root.join("train/a/2.png")).unwrap();
    assert!(complaint(list(root)).contains("2.png is a link to nothing"));
    std::fs::remove_file(root.join("train/a/2.png")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(root.join("train/a/pipe.png")).status();
    if made.is_ok_and(|s| s.success()) {
        assert_eq!(list(root).unwrap().unread["no regular file"], 1);
        std::fs::remove_file(root.join("train/a/pipe.png")).unwrap();
    }
    for (i, byte) in [0xe9u8, 0xe8].iter().enumerate() {
        let class = std::ffi::OsStr::from_bytes(&[b'h', *byte]).to_owned();
        for split in ["train", "test"] {
            let folder = root.join(split).join(&class);
            if std::fs::create_dir(&folder).is_err() {
                return; // some file systems allow only text as names
            }
            write_png(&folder.join("0.png"), 900 + i as u64, 10);
        }
    }
    let listing = list(root).unwrap();
    assert_eq!(listing.classes, ["a", "b", "h\\xE8", "h\\xE9"]);
    assert!(listing.notes.iter().any(|n| n.contains("not UTF-8")), "{:?}", listing.notes);
}
