//! From a source to a dataset: a validation split where there is none, and no picture in two splits.
//!
//! Test images are never touched. Exact duplicates (see [`crate::data::decode`]) of a test image leave val and train,
//! those of a validation image leave train, and all that left are counted.

use crate::base::hash::Hasher;
use crate::base::rng::Rng;
use crate::base::{Error, Result};
use crate::data::{Dataset, Images, LoadOptions, Part, Source, Split};
use std::collections::HashSet;

/// The random stream that chooses validation images.
const STREAM: u32 = 0x5357;

/// Makes the dataset.
pub fn assemble(source: Source, options: &LoadOptions) -> Result<Dataset> {
    let Source { name, classes, parts: [train, val, test], .. } = source;
    let fail = |what: String| Error::Data(format!("{name}: {what}"));
    let train = train.filter(|p| !p.images.is_empty()).ok_or_else(|| fail("there is no train split".into()))?;
    let test = test.filter(|p| !p.images.is_empty()).ok_or_else(|| {
        fail("there is no test split, and none is cut from train; put class folders into train/ and test/, or name the split of each image in a CSV (path,label,split), so that results stand on images never learnt from".into())
    })?;
    for (split, part) in Split::ALL.into_iter().zip([Some(&train), val.as_ref(), Some(&test)]) {
        check_labels(part, classes.len()).map_err(|what| fail(format!("{} {what}", split.name())))?;
    }
    let before = train.images.class_counts(classes.len());
    let mut dropped = 0;
    let train = without(train, &test, &mut dropped);
    let (train, val) = match val {
        Some(val) => (train, without(val, &test, &mut dropped)),
        None => carve(&train, classes.len(), options).map_err(fail)?,
    };
    let train = without(train, &val, &mut dropped);
    let after = train.images.class_counts(classes.len());
    if let Some(c) = (0..classes.len()).find(|&c| before[c] > 0 && after[c] == 0) {
        return Err(fail(format!(
            "no training image of class {} is left after exact duplicates of validation and test images were dropped",
            classes[c]
        )));
    }
    let (train, val, test) = (train.images, val.images, test.images);
    if val.is_empty() {
        return Err(fail("no validation image is left; add some, or leave the split out and set val_fraction".into()));
    }
    let fingerprint = fingerprint(&classes, [&train, &val, &test]);
    Ok(Dataset { name, classes, train, val, test, dropped_duplicates: dropped, fingerprint, warnings: Vec::new() })
}

fn check_labels(part: Option<&Part>, classes: usize) -> Result<(), String> {
    let Some(part) = part else { return Ok(()) };
    match part.images.labels.iter().position(|&l| l as usize >= classes) {
        None => Ok(()),
        Some(i) => {
            let (name, label) = (&part.images.names[i], part.images.labels[i]);
            Err(format!("image {name} has label {label}, but there are only the classes 0 to {}", classes - 1))
        }
    }
}

/// `part` without the pictures that `other` holds; counts them.
fn without(part: Part, other: &Part, dropped: &mut usize) -> Part {
    let held: HashSet<[u8; 16]> = other.origins.iter().map(|o| o.digest).collect();
    let keep: Vec<usize> = (0..part.origins.len()).filter(|&i| !held.contains(&part.origins[i].digest)).collect();
    *dropped += part.origins.len() - keep.len();
    if keep.len() == part.origins.len() { part } else { part.select(keep) }
}

/// Cuts `val_fraction` of each class from train, to the nearest image; a class of two or more gives at least one
/// and keeps at least one.
fn carve(train: &Part, classes: usize, options: &LoadOptions) -> Result<(Part, Part), String> {
    let fraction = options.val_fraction;
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(format!("there is no val split and val_fraction is {fraction}; it must lie between 0 and 1"));
    }
    let mut chosen = vec![false; train.images.len()];
    for class in 0..classes {
        let of_class: Vec<usize> = (0..chosen.len()).filter(|&i| train.images.labels[i] as usize == class).collect();
        let n = of_class.len();
        if n < 2 {
            continue;
        }
        let wanted = ((n as f64 * f64::from(fraction)).round() as usize).clamp(1, n - 1);
        for &i in &Rng::new(options.seed, STREAM, class as u64).permutation(n)[..wanted] {
            chosen[of_class[i]] = true;
        }
    }
    let pick = |val: bool| train.select((0..chosen.len()).filter(|&i| chosen[i] == val));
    Ok((pick(false), pick(true)))
}

/// The content address of classes, shapes, pixels and labels. Names are left out: a renamed file trains the same.
fn fingerprint(classes: &[String], splits: [&Images; 3]) -> String {
    let mut hasher = Hasher::new().part("wgslab data 1");
    classes.iter().for_each(|c| hasher.update(c));
    for images in splits {
        for dim in [images.len(), images.height, images.width, images.channels] {
            hasher.update((dim as u64).to_le_bytes());
        }
        hasher.update(bytemuck::cast_slice::<u32, u8>(&images.labels));
        hasher.update(&images.pixels);
    }
    hasher.hex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Origin;
    use crate::data::testing::complaint;
    use std::path::Path;

    /// A part of 1 × 1 images: each is its digest's byte.
    fn part(items: &[(u8, u32)]) -> Part {
        let options = LoadOptions { store_size: 1, ..options() };
        let mut part = Part::empty(&options);
        for &(v, label) in items {
            part.push(&[v], Origin { digest: [v; 16], height: 1, width: 1 }, label, v.to_string());
        }
        part
    }

    fn options() -> LoadOptions {
        crate::data::testing::options(Path::new(""), 1)
    }

    fn source(train: &[(u8, u32)], val: Option<&[(u8, u32)]>, test: Option<&[(u8, u32)]>) -> Source {
        let parts = [Some(part(train)), val.map(part), test.map(part)];
        Source { name: "x".into(), classes: vec!["a".into(), "b".into()], parts, ..Source::default() }
    }

    #[test]
    fn duplicates_leave_train_and_val_but_never_test() {
        let train = [(1, 0), (2, 1), (3, 0), (4, 1), (1, 0)];
        let data =
            assemble(source(&train, Some(&[(3, 0), (9, 1), (8, 0)]), Some(&[(1, 0), (9, 1), (9, 1)])), &options());
        let said = complaint(data);
        assert!(said.contains("class a is left"), "{said}");
        let train = [(1, 0), (2, 1), (3, 0), (4, 1), (1, 0), (5, 0), (5, 0)];
        let s = source(&train, Some(&[(3, 0), (9, 1), (8, 0)]), Some(&[(1, 0), (9, 1), (9, 1)]));
        let data = assemble(s, &options()).unwrap();
        assert_eq!(data.train.pixels, [2, 4, 5, 5]);
        assert_eq!(data.val.pixels, [3, 8]);
        assert_eq!(data.test.pixels, [1, 9, 9]);
        assert_eq!(data.dropped_duplicates, 4);
    }

    #[test]
    fn a_missing_val_split_is_cut_by_class_and_seed() {
        let train: Vec<(u8, u32)> = (0..200).map(|i| (i, u32::from(i >= 50))).collect();
        let cut = |seed, val_fraction| {
            let options = LoadOptions { seed, val_fraction, ..options() };
            assemble(source(&train, None, Some(&[(250, 0)])), &options)
        };
        let data = cut(1, 0.1).unwrap();
        assert_eq!(data.val.class_counts(2), [5, 15]);
        assert_eq!(data.train.len() + data.val.len(), 200);
        assert!(data.val.pixels.iter().all(|v| !data.train.pixels.contains(v)));
        assert_eq!(data.fingerprint, cut(1, 0.1).unwrap().fingerprint);
        assert_ne!(data.fingerprint, cut(2, 0.1).unwrap().fingerprint);
        for fraction in [0.0, 1.0, -1.0, f32::NAN] {
            assert!(complaint(cut(1, fraction)).contains("val_fraction"));
        }
    }

    #[test]
    fn a_duplicate_within_train_does_not_reach_both_sides_of_the_cut() {
        let train: Vec<(u8, u32)> = (0..100).map(|i| (i / 2, 0)).collect();
        let data = assemble(source(&train, None, Some(&[(250, 0)])), &options()).unwrap();
        assert!(data.dropped_duplicates > 0);
        assert!(data.val.pixels.iter().all(|v| !data.train.pixels.contains(v)));
    }

    #[test]
    fn labels_out_of_range_and_missing_splits_are_refused() {
        let said = complaint(assemble(source(&[(1, 0)], None, Some(&[(2, 2)])), &options()));
        assert!(said.contains("label 2") && said.contains("test"), "{said}");
        assert!(complaint(assemble(source(&[(1, 0)], None, None), &options())).contains("no test split"));
        assert!(complaint(assemble(source(&[], None, Some(&[(2, 0)])), &options())).contains("no train split"));
        assert!(complaint(assemble(source(&[(1, 0)], None, Some(&[(2, 0)])), &options())).contains("no validation"));
    }
}
