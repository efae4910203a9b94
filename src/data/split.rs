//! Turns decoded data into a dataset: cuts a validation split if there is none, and puts no picture into two splits.
//!
//! Test images are never dropped. Exact duplicates (see [`crate::data::decode`]) of a test image are dropped from val
//! and train, and those of a validation image from train. All dropped images are counted. If the data gives the patient
//! of each image (see [`groups`]), the images of a patient who has an image in a later split are dropped too.

use crate::base::hash::Hasher;
use crate::base::rng::Rng;
use crate::base::{Error, Result};
use crate::data::decode::Listing;
use crate::data::groups::{self, Groups};
use crate::data::{Dataset, DecodedData, Images, LoadOptions, Need, Part, Split, classes, left_out};
use std::collections::HashSet;

/// The random stream that chooses validation images.
const STREAM: u32 = 0x5357;

/// What is known about a dataset without its pixels.
pub(super) struct Outline<'a> {
    /// A short name.
    pub name: &'a str,
    /// Class names.
    pub classes: &'a [String],
    /// The labels of train, val and test. None if there is no such split.
    pub labels: [Option<Vec<u32>>; 3],
    /// The groups of the images of train, val and test.
    pub groups: [Groups<'a>; 3],
    /// Gives the name of an image.
    pub place: Box<dyn Fn(Split, usize) -> String + 'a>,
}

impl Outline<'_> {
    /// Checks that the labels serve `need`. Every reader calls this before it decodes, and [`assemble`] calls it again.
    pub fn check(&self, need: Need) -> Result<()> {
        let fail = |what: String| Err(Error::Data(format!("{}: {what}", self.name)));
        let has = |split: Split| self.labels[split as usize].as_ref().is_some_and(|l| !l.is_empty());
        let found = || {
            let found: Vec<&str> = Split::ALL.into_iter().filter(|s| has(*s)).map(Split::name).collect();
            if found.is_empty() { "it holds no image".into() } else { format!("it has only {}", found.join(" and ")) }
        };
        match need {
            need if need.learns() && !has(Split::Train) => {
                let usable = Split::ALL.into_iter().find(|s| has(*s)).map_or(String::new(), |s| {
                    format!("; a trained classifier can be evaluated on it (`evaluate --split {}`)", s.name())
                });
                return fail(format!("there is no train split, {}, so nothing can be learnt from it{usable}", found()));
            }
            Need::Training if !has(Split::Test) => return fail(NO_TEST.into()),
            // A validation split can be cut from train.
            Need::Evaluation(Split::Val) if !has(Split::Val) && has(Split::Train) => {}
            Need::Evaluation(split) if !has(split) => {
                return fail(format!("there is no {} split, {}; name one it has", split.name(), found()));
            }
            _ => {}
        }
        self.check_labels(need.learns()).or_else(fail)?;
        let cut = self.labels[Split::Val as usize].is_none() && (need.learns() || need == Need::Evaluation(Split::Val));
        if cut || need.learns() {
            let images = self.labels.each_ref().map(|l| l.as_ref().map_or(0, Vec::len));
            groups::check(&self.groups, images, cut).or_else(fail)?;
        }
        if cut {
            let counts = self.counts(Split::Train);
            if counts.iter().all(|&n| n < 2) {
                return fail("each class has one training image, none can be held out for validation; add training images, or a val split".into());
            }
        }
        Ok(())
    }

    /// Checks that labels are classes. If the data is to be learnt from, each class must have an image in train,
    /// because noise would otherwise flip labels to a class without images.
    fn check_labels(&self, learnt: bool) -> Result<(), String> {
        let classes = self.classes.len();
        for split in Split::ALL {
            let labels = self.labels[split as usize].as_deref().unwrap_or_default();
            if let Some(i) = labels.iter().position(|&l| l as usize >= classes) {
                let (name, label) = ((self.place)(split, i), labels[i]);
                let split = split.name();
                return Err(format!(
                    "{split} image {name} has label {label}, but there are only the classes 0 to {}",
                    classes.saturating_sub(1)
                ));
            }
        }
        if !learnt {
            return Ok(());
        }
        let train = self.counts(Split::Train);
        let Some(missing) = train.iter().position(|&n| n == 0) else { return Ok(()) };
        let class = &self.classes[missing];
        let first = [Split::Val, Split::Test].into_iter().find_map(|split| {
            let labels = self.labels[split as usize].as_deref()?;
            labels.iter().position(|&l| l as usize == missing).map(|i| (split, (self.place)(split, i)))
        });
        let known: Vec<String> =
            self.classes.iter().zip(&train).filter(|(_, n)| **n > 0).map(|(c, _)| c.clone()).collect();
        let which = match first {
            Some((split, image)) => format!(", but {image} of {} is of it", split.name()),
            None => ", nor has any other split".into(),
        };
        Err(format!(
            "train has no image of the class {}{which}; train has {}{}",
            classes::shown(class),
            classes::listed(&known),
            classes::hint(class, &known)
        ))
    }

    /// The number of images of each class in a split.
    fn counts(&self, split: Split) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.labels[split as usize].iter().flatten().for_each(|&l| {
            if let Some(n) = counts.get_mut(l as usize) {
                *n += 1;
            }
        });
        counts
    }
}

impl DecodedData {
    /// What is known without its pixels.
    pub(super) fn outline(&self) -> Outline<'_> {
        let labels = self.parts.each_ref().map(|p| p.as_ref().map(|p| p.images.labels.clone()));
        let name_of = |split: Split, i: usize| {
            self.parts[split as usize].as_ref().map_or(String::new(), |p| p.images.names[i].clone())
        };
        let groups = groups::decoded(&self.parts);
        Outline { name: &self.name, classes: &self.classes, labels, groups, place: Box::new(name_of) }
    }
}

impl Listing {
    /// What is known without its pixels.
    pub(super) fn outline(&self) -> Outline<'_> {
        let labels = self.files.each_ref().map(|f| f.as_ref().map(|f| f.iter().map(|e| e.label).collect()));
        let name_of =
            |split: Split, i: usize| self.files[split as usize].as_ref().map_or(String::new(), |f| f[i].name.clone());
        let groups = groups::listed(self);
        Outline { name: &self.name, classes: &self.classes, labels, groups, place: Box::new(name_of) }
    }
}

const NO_TEST: &str = "there is no test split, and none is cut from train; put class folders into train/ and test/, or \
    name the split of each image in a CSV (path,label,split), so that results are of images never learnt from; \
    `pretrain`, `data views` and `noise apply` need none";

/// Makes the dataset. For an evaluation only the named split must have images. All splits are made as for training, so
/// that a split holds the same images whatever it is needed for.
pub fn assemble(source: DecodedData, options: &LoadOptions, need: Need) -> Result<Dataset> {
    source.outline().check(need)?;
    let DecodedData { name, classes, parts: [train, val, test], unreadable, .. } = source;
    let fail = |what: String| Error::Data(format!("{name}: {what}"));
    let [train, test] = [train, test].map(|p| p.unwrap_or_else(|| Part::empty(options)));
    let before = train.images.class_counts(classes.len());
    let train_in_files = train.images.len();
    let mut dropped = 0;
    let mut of_patients = 0;
    let train = groups::without(without(train, &test, &mut dropped), &test, &mut of_patients);
    let mut warnings = Vec::new();
    let (train, val) = match val {
        Some(val) => (train, groups::without(without(val, &test, &mut dropped), &test, &mut of_patients)),
        None if train.images.is_empty() => (train, Part::empty(options)),
        None => {
            let counts = train.images.class_counts(classes.len());
            let single: Vec<String> =
                classes.iter().zip(counts).filter(|(_, n)| *n == 1).map(|(c, _)| c.clone()).collect();
            if !single.is_empty() {
                let listed = classes::listed(&single);
                warnings.push(format!("one training image only, so none in the val split cut from train: {listed}"));
            }
            let (left, val) = carve(&train, classes.len(), options).map_err(fail)?;
            warnings.extend(groups::missing_note(&left, &val, &classes));
            (left, val)
        }
    };
    let train = groups::without(without(train, &val, &mut dropped), &val, &mut of_patients);
    warnings.extend(groups::left_out_note(of_patients));
    let after = train.images.class_counts(classes.len());
    let lost = (0..classes.len()).find(|&c| before[c] > 0 && after[c] == 0);
    if let Some(c) = lost.filter(|_| need.learns()) {
        let patients = if of_patients > 0 { ", and all images of their patients," } else { "" };
        return Err(fail(format!(
            "no training image of class {} is left after exact duplicates of validation and test images{patients} were \
             dropped",
            classes[c]
        )));
    }
    let (train, val, test) = (train.images, val.images, test.images);
    let left = match need {
        Need::Training | Need::Learning | Need::Evaluation(Split::Val) => Some((&val, Split::Val)),
        Need::Evaluation(Split::Train) => Some((&train, Split::Train)),
        Need::Evaluation(Split::Test) => None, // test images are never dropped
    };
    match left {
        Some((images, Split::Val)) if images.is_empty() => {
            let what = "no validation image is left; add some, or leave the split out and set val_fraction";
            return Err(fail(what.into()));
        }
        Some((images, split)) if images.is_empty() => {
            let split = split.name();
            return Err(fail(format!("no {split} image is left after exact duplicates of later splits were dropped")));
        }
        _ => {}
    }
    let fingerprint = left_out::covered(fingerprint(&classes, [&train, &val, &test])?, unreadable.iter());
    let (dropped_duplicates, left_out) = (dropped, unreadable);
    Ok(Dataset { name, classes, train, val, test, dropped_duplicates, train_in_files, left_out, fingerprint, warnings })
}

/// `part` without the pictures that `other` holds. Counts those dropped.
fn without(part: Part, other: &Part, dropped: &mut usize) -> Part {
    let held: HashSet<[u8; 16]> = other.origins.iter().map(|o| o.digest).collect();
    let keep: Vec<usize> = (0..part.origins.len()).filter(|&i| !held.contains(&part.origins[i].digest)).collect();
    *dropped += part.origins.len() - keep.len();
    if keep.len() == part.origins.len() { part } else { part.select(keep) }
}

/// Cuts `val_fraction` of each class from train, rounded to the nearest image. A class of two or more images gives at
/// least one and keeps at least one. If images have groups, whole groups are cut.
fn carve(train: &Part, classes: usize, options: &LoadOptions) -> Result<(Part, Part), String> {
    let fraction = options.val_fraction;
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(format!("there is no val split and val_fraction is {fraction}; it must lie between 0 and 1"));
    }
    if !train.groups.is_empty() {
        let chosen = groups::choose(train, classes, options)?;
        return Ok(parted(train, &chosen));
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
    Ok(parted(train, &chosen))
}

/// The images that are not `chosen`, and those that are.
fn parted(train: &Part, chosen: &[bool]) -> (Part, Part) {
    let pick = |val: bool| train.select((0..chosen.len()).filter(|&i| chosen[i] == val));
    (pick(false), pick(true))
}

/// The content address of classes, shapes, pixels and labels. Names are left out, because a renamed file trains the
/// same.
fn fingerprint(classes: &[String], splits: [&Images; 3]) -> Result<String> {
    let mut hasher = Hasher::new().part("wgslab data 1");
    classes.iter().for_each(|c| hasher.update(c));
    for images in splits {
        for dim in [images.len(), images.height, images.width, images.channels] {
            hasher.update((dim as u64).to_le_bytes());
        }
        hasher.update(bytemuck::cast_slice::<u32, u8>(&images.labels));
        images.hash(&mut hasher)?;
    }
    Ok(hasher.hex())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Origin;
    use crate::data::testing::complaint;
    use std::path::Path;

    /// A part of 1 × 1 images. The byte of each is its digest.
    fn part(items: &[(u8, u32)]) -> Part {
        let options = LoadOptions { store_size: 1, ..options() };
        let mut part = Part::empty(&options);
        for &(v, label) in items {
            part.push(&[v], Origin { digest: [v; 16], height: 1, width: 1 }, label, v.to_string()).unwrap();
        }
        part
    }

    fn bytes(images: &Images) -> Vec<u8> {
        images.all().unwrap().into_owned()
    }

    fn options() -> LoadOptions {
        crate::data::testing::options(Path::new(""), 1)
    }

    fn source(train: &[(u8, u32)], val: Option<&[(u8, u32)]>, test: Option<&[(u8, u32)]>) -> DecodedData {
        let parts = [Some(part(train)), val.map(part), test.map(part)];
        DecodedData { name: "x".into(), classes: vec!["a".into(), "b".into()], parts, ..DecodedData::default() }
    }

    #[test]
    fn duplicates_leave_train_and_val_but_never_test() {
        let train = [(1, 0), (2, 1), (3, 0), (4, 1), (1, 0)];
        let data = assemble(
            source(&train, Some(&[(3, 0), (9, 1), (8, 0)]), Some(&[(1, 0), (9, 1), (9, 1)])),
            &options(),
            Need::Training,
        );
        let said = complaint(data);
        assert!(said.contains("class a is left"), "{said}");
        let train = [(1, 0), (2, 1), (3, 0), (4, 1), (1, 0), (5, 0), (5, 0)];
        let s = source(&train, Some(&[(3, 0), (9, 1), (8, 0)]), Some(&[(1, 0), (9, 1), (9, 1)]));
        let data = assemble(s, &options(), Need::Training).unwrap();
        assert_eq!(bytes(&data.train), [2, 4, 5, 5]);
        assert_eq!(bytes(&data.val), [3, 8]);
        assert_eq!(bytes(&data.test), [1, 9, 9]);
        assert_eq!((data.dropped_duplicates, data.train_in_files), (4, 7));
    }

    #[test]
    fn a_missing_val_split_is_cut_by_class_and_seed() {
        let train: Vec<(u8, u32)> = (0..200).map(|i| (i, u32::from(i >= 50))).collect();
        let cut = |seed, val_fraction| {
            let options = LoadOptions { seed, val_fraction, ..options() };
            assemble(source(&train, None, Some(&[(250, 0), (251, 1)])), &options, Need::Training)
        };
        let data = cut(1, 0.1).unwrap();
        assert_eq!(data.val.class_counts(2), [5, 15]);
        assert_eq!(data.train.len() + data.val.len(), 200);
        assert!(bytes(&data.val).iter().all(|v| !bytes(&data.train).contains(v)));
        assert_eq!(data.fingerprint, cut(1, 0.1).unwrap().fingerprint);
        assert_ne!(data.fingerprint, cut(2, 0.1).unwrap().fingerprint);
        for fraction in [0.0, 1.0, -1.0, f32::NAN] {
            assert!(complaint(cut(1, fraction)).contains("val_fraction"));
        }
    }

    #[test]
    fn a_duplicate_within_train_does_not_reach_both_sides_of_the_cut() {
        let train: Vec<(u8, u32)> = (0..100).map(|i| (i / 2, u32::from(i / 2 % 2))).collect();
        let data = assemble(source(&train, None, Some(&[(250, 0)])), &options(), Need::Training).unwrap();
        assert!(data.dropped_duplicates > 0);
        assert!(bytes(&data.val).iter().all(|v| !bytes(&data.train).contains(v)));
    }

    #[test]
    fn labels_out_of_range_and_missing_splits_are_refused() {
        let said = complaint(assemble(source(&[(1, 0)], None, Some(&[(2, 2)])), &options(), Need::Training));
        assert!(said.contains("label 2") && said.contains("test"), "{said}");
        assert!(
            complaint(assemble(source(&[(1, 0)], None, None), &options(), Need::Training)).contains("no test split")
        );
        assert!(
            complaint(assemble(source(&[], None, Some(&[(2, 0)])), &options(), Need::Training))
                .contains("no train split")
        );
        let said = complaint(assemble(source(&[(1, 0)], None, Some(&[(2, 0)])), &options(), Need::Training));
        assert!(said.contains("train has no image of the class 'b', nor has any other split; train has 'a'"), "{said}");
        let said = complaint(assemble(source(&[(1, 0), (3, 1)], None, Some(&[(2, 0)])), &options(), Need::Training));
        assert!(said.contains("each class has one training image"), "{said}");
        let all = [(1, 0), (3, 1), (4, 0)];
        let said = complaint(assemble(source(&all, Some(&[(2, 0)]), Some(&[(2, 0)])), &options(), Need::Training));
        assert!(said.contains("no validation image is left"), "{said}");
    }

    #[test]
    fn learning_without_a_test_needs_no_test_split_and_has_the_images_of_training() {
        let train: Vec<(u8, u32)> = (0..50).map(|i| (i, u32::from(i % 2))).collect();
        let alone = assemble(source(&train, None, None), &options(), Need::Learning).unwrap();
        let beside = |need| assemble(source(&train, None, Some(&[(3, 1), (60, 0)])), &options(), need).unwrap();
        assert_eq!((alone.train.len() + alone.val.len(), alone.test.len()), (50, 0));
        let (learnt, trained) = (beside(Need::Learning), beside(Need::Training));
        assert_eq!((learnt.train.len() + learnt.val.len(), &learnt.train), (49, &trained.train), "3 is in test");
        let said = complaint(assemble(source(&[], None, Some(&[(2, 0)])), &options(), Need::Learning));
        assert!(said.contains("no train split"), "{said}");
        let said = complaint(assemble(source(&train[..1], None, None), &options(), Need::Learning));
        assert!(said.contains("train has no image of the class 'b'"), "{said}");
    }

    #[test]
    fn an_evaluation_needs_its_split_alone_and_finds_the_images_that_training_does() {
        let evaluate = |s: DecodedData, split| assemble(s, &options(), Need::Evaluation(split));
        let of = |parts: [Option<&[(u8, u32)]>; 3]| DecodedData {
            name: "x".into(),
            classes: vec!["a".into(), "b".into()],
            parts: parts.map(|p| p.map(part)),
            ..DecodedData::default()
        };
        let one: &[(u8, u32)] = &[(1, 0), (1, 0)];
        let two: &[(u8, u32)] = &[(2, 1), (1, 0)];
        assert_eq!(bytes(&evaluate(of([None, None, Some(one)]), Split::Test).unwrap().test), [1, 1]);
        assert_eq!(bytes(&evaluate(of([None, Some(two), None]), Split::Val).unwrap().val), [2, 1]);
        assert_eq!(bytes(&evaluate(of([None, Some(two), Some(one)]), Split::Val).unwrap().val), [2]);
        assert!(
            complaint(evaluate(of([None, Some(one), Some(one)]), Split::Val)).contains("no validation image is left")
        );
        let said = complaint(evaluate(of([None, Some(one), Some(two)]), Split::Train));
        assert!(said.contains("there is no train split, it has only val and test"), "{said}");
        let train: Vec<(u8, u32)> = (0..50).map(|i| (i, u32::from(i % 2))).collect();
        let whole = || of([Some(&train), None, Some(&[(60, 0), (61, 1)])]);
        let trained = assemble(whole(), &options(), Need::Training).unwrap();
        for split in Split::ALL {
            let data = evaluate(whole(), split).unwrap();
            assert_eq!(
                (data.train, data.val, data.test),
                (trained.train.clone(), trained.val.clone(), trained.test.clone())
            );
        }
    }
}
