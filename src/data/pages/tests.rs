//! Sets in pages: the same data as in memory, and what becomes of pages that are damaged.

use super::*;
use crate::data::testing::{class_tree, options, write_png};
use crate::data::{Dataset, Images, LoadOptions, load};
use std::cell::Cell;

/// Options by which every set is kept in pages in `root/cache`.
fn paged(root: &Path, channels: usize) -> LoadOptions {
    let paging = Paging { resident_bytes: 0, folder: root.join("cache") };
    LoadOptions { cache: Some(root.join("cache")), paging: Some(paging), ..options(root, channels) }
}

/// Two classes in train and test, one image twice within train, and a broken one that comes before others.
fn tree(root: &Path) {
    for (split, each) in [("train", 12), ("test", 6)] {
        class_tree(&root.join("set").join(split), &["a", "b"], "", each, "png");
    }
    let folder = root.join("set/train/a");
    std::fs::copy(folder.join("3.png"), folder.join("4.png")).unwrap();
    std::fs::write(folder.join("1.png"), b"no picture").unwrap();
}

/// The set, and how many images were decoded for it.
fn loaded(spec: &str, options: &LoadOptions) -> (Dataset, usize) {
    let decoded = Cell::new(0);
    let data = load(spec, options, &|done, _| decoded.set(done)).unwrap();
    (data, decoded.get())
}

fn page_file(root: &Path, split: &str) -> PathBuf {
    let files = std::fs::read_dir(root.join("cache")).unwrap().map(|f| f.unwrap().path());
    let end = format!(".{split}.pages");
    files.filter(|f| f.to_str().unwrap().ends_with(&end)).collect::<Vec<_>>().pop().unwrap()
}

fn expect_equal(a: &Dataset, b: &Dataset) {
    assert_eq!((&a.fingerprint, a.dropped_duplicates), (&b.fingerprint, b.dropped_duplicates));
    for split in Split::ALL {
        let (a, b) = (a.part(split), b.part(split));
        assert_eq!((&a.labels, &a.names), (&b.labels, &b.names));
        assert_eq!(a.statistics().unwrap(), b.statistics().unwrap());
        assert_eq!(a.fingerprint().unwrap(), b.fingerprint().unwrap());
        (0..a.len()).for_each(|i| assert_eq!(a.image(i).unwrap(), b.image(i).unwrap()));
    }
}

fn notes(images: &Images) -> Vec<String> {
    images.pages().unwrap().notes()
}

#[test]
fn a_set_in_pages_is_the_set_in_memory_and_is_decoded_once() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let options = paged(dir.path(), 3);
    for spec in ["set", "phantom:covid?train=40&val=9&test=9"] {
        let memory = LoadOptions { cache: None, paging: None, ..options.clone() };
        let (due, _) = loaded(spec, &memory);
        let (first, decoded) = loaded(spec, &options);
        assert!(decoded > 0 && first.train.pages().is_some() && due.train.pages().is_none());
        let told: Vec<&String> = first.warnings.iter().filter(|w| w.contains("stream from pages")).collect();
        assert!(told.len() == 1 && told[0].contains("data.resident_bytes"), "{:?}", first.warnings);
        expect_equal(&first, &due);
        let (second, decoded) = loaded(spec, &options);
        assert_eq!(decoded, 0);
        expect_equal(&second, &due);
        assert!(notes(&first.train).is_empty() && notes(&second.train).is_empty());
        // As many bytes as the set has are still memory's.
        let bytes = ((due.train.len() + due.val.len() + due.test.len() + due.left_out.len()) * 192) as u64;
        let dropped = due.dropped_duplicates as u64 * 192;
        let at = |resident_bytes| LoadOptions {
            paging: Some(Paging { resident_bytes, folder: dir.path().into() }),
            ..memory.clone()
        };
        assert!(loaded(spec, &at(bytes + dropped)).0.train.pages().is_none());
        assert!(loaded(spec, &at(bytes + dropped - 1)).0.train.pages().is_some());
    }
    let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["cache", "set"], "what is not cached is gone with the data");
}

#[test]
fn images_are_read_in_any_order_with_space_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let made = |i: usize| vec![i as u8 + 1; 3];
    let pages = Paged::made(&dir.path().join("p"), (9, 3), made).unwrap();
    assert_eq!(pages.read(&[7, 0, 7], 4).unwrap(), [8, 8, 8, 0, 1, 1, 1, 0, 8, 8, 8, 0]);
    let some = pages.select([8, 2, 5].into_iter());
    let some = some.select([2, 0].into_iter());
    assert_eq!(some.read(&[0, 1], 3).unwrap(), [6, 6, 6, 9, 9, 9]);
    assert!(pages.read(&[9], 3).unwrap_err().to_string().contains("has no page 9"));
}

#[test]
fn a_damaged_page_is_decoded_again_and_written_back() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let set = dir.path().join("set.npz");
    let pixels: Vec<u8> = (0..40 * 64).map(|i| (i * 31 % 251) as u8).collect();
    npz(&set, &pixels);
    let options = paged(dir.path(), 1);
    for spec in ["set", "phantom:covid?train=40&val=9&test=9", "set.npz"] {
        let (due, _) = loaded(spec, &LoadOptions { cache: None, paging: None, ..options.clone() });
        let (data, _) = loaded(spec, &options);
        let path = page_file(dir.path(), "train");
        let whole = std::fs::read(&path).unwrap();
        // Of the first image that is left in train, its last byte.
        let at = data.train.pages().unwrap().page(0) as usize;
        let flip = |bytes: &[u8], at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at * 64 + 63] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        };
        flip(&whole, at);
        expect_equal(&data, &due);
        let told = notes(&data.train);
        assert!(told.len() == 1 && told[0].contains(&format!("page {at} of ")), "{spec}: {told:?}");
        assert!(told[0].contains("its checksum differs") && told[0].contains("decoded again"), "{told:?}");
        assert_eq!(std::fs::read(&path).unwrap(), whole, "{spec}: it is written back");
        // Another process finds the damage.
        flip(&whole, at);
        let (again, decoded) = loaded(spec, &options);
        assert_eq!(decoded, 0, "only the page is decoded, not the set");
        expect_equal(&again, &due);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        // The file of another set of the same size: each page is found out.
        std::fs::write(&path, vec![7; whole.len()]).unwrap();
        let (again, _) = loaded(spec, &options);
        expect_equal(&again, &due);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        // A file that is too short or gone is made again as a whole, and so is its list of checksums.
        for short in [true, false] {
            if short {
                std::fs::write(&path, &whole[..whole.len() - 1]).unwrap()
            } else {
                std::fs::remove_file(&path).unwrap()
            }
            let (again, decoded) = loaded(spec, &options);
            assert!(decoded > 0 && again.warnings.iter().any(|w| w.contains("damaged")), "{:?}", again.warnings);
            expect_equal(&again, &due);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        std::fs::remove_dir_all(dir.path().join("cache")).unwrap();
    }
}

/// An archive of 8 × 8 gray images in two classes, 40 to train and 8 of them again to test, changed a little.
fn npz(path: &Path, pixels: &[u8]) {
    use npyz::WriterBuilder;
    let mut zip = npyz::npz::NpzWriter::new(std::fs::File::create(path).unwrap());
    let mut add = |name: &str, shape: &[u64], data: &[u8]| {
        let array = zip.array::<u8>(name, Default::default()).unwrap().default_dtype().shape(shape);
        let mut array = array.begin_nd().unwrap();
        array.extend(data.iter().copied()).unwrap();
        array.finish().unwrap();
    };
    let test: Vec<u8> = pixels[..8 * 64].iter().map(|v| v.wrapping_add(1)).collect();
    let labels: Vec<u8> = (0..40).map(|i| i % 2).collect();
    add("train_images", &[40, 8, 8], pixels);
    add("train_labels", &[40], &labels);
    add("test_images", &[8, 8, 8], &test);
    add("test_labels", &[8], &labels[..8]);
    zip.zip_writer().finish().unwrap();
}

#[test]
fn a_page_whose_source_is_another_one_now_is_no_image() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let options = paged(dir.path(), 1);
    let (data, _) = loaded("set", &options);
    let path = page_file(dir.path(), "test");
    std::fs::write(&path, vec![0; std::fs::metadata(&path).unwrap().len() as usize]).unwrap();
    let name = &data.test.names[2];
    write_png(&dir.path().join("set").join(name), 99, 9);
    std::fs::remove_file(dir.path().join("set").join(&data.test.names[5])).unwrap();
    let e = data.test.image(2).unwrap_err();
    assert!(e.exit_code() == 4 && e.to_string().contains("its source holds another image now"), "{e}");
    assert!(data.test.image(3).is_ok());
    assert!(data.test.image(5).unwrap_err().to_string().contains(data.test.names[5].as_str()));
}

#[test]
fn damage_is_mended_by_many_readers_at_once() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let options = paged(dir.path(), 1);
    let (data, _) = loaded("set", &options);
    let (due, _) = loaded("set", &LoadOptions { cache: None, paging: None, ..options.clone() });
    let path = page_file(dir.path(), "train");
    let pages = std::fs::metadata(&path).unwrap().len() as usize / 64;
    std::fs::write(&path, vec![0; pages * 64]).unwrap();
    // From threads of the common pool, as a look at all images reads them.
    let read: Vec<Vec<u8>> =
        (0..data.train.len()).into_par_iter().map(|i| data.train.image(i).unwrap().into_owned()).collect();
    (0..read.len()).for_each(|i| assert_eq!(read[i], *due.train.image(i).unwrap()));
    let told = notes(&data.train);
    assert!(told.len() == 1 && told[0].contains(&format!(" and {} more of ", pages - 1)), "{told:?}");
}
