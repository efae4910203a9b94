//! Copies and near copies are found, and one anatomy is not enough.

use super::*;
use crate::data::{Images, Origin, Part};

const SIZE: usize = 40;

/// A picture of one anatomy with structures of its own, in levels.
fn picture(seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed, 7, 0);
    let spots: Vec<[f32; 4]> = (0..14)
        .map(|_| {
            let at = |rng: &mut Rng| rng.uniform() * SIZE as f32;
            [at(&mut rng), at(&mut rng), 1.5 + 3.0 * rng.uniform(), 60.0 * (rng.uniform() - 0.5)]
        })
        .collect();
    let level = |k: usize| {
        let (y, x) = ((k / SIZE) as f32, (k % SIZE) as f32);
        let lung = |centre: f32| 70.0 * (-((x - centre) / 6.0).powi(2) - ((y - 20.0) / 12.0).powi(2)).exp();
        let own = |s: &[f32; 4]| s[3] * (-((x - s[0]).powi(2) + (y - s[1]).powi(2)) / (s[2] * s[2])).exp();
        150.0 - lung(11.0) - lung(29.0) + spots.iter().map(own).sum::<f32>()
    };
    (0..SIZE * SIZE).map(level).collect()
}

fn part(pictures: &[(Vec<f32>, u32)], prefix: &str) -> Part {
    let images = Images { height: SIZE, width: SIZE, channels: 1, ..Images::default() };
    let mut part = Part { images, ..Part::default() };
    for (i, (levels, label)) in pictures.iter().enumerate() {
        let pixels: Vec<u8> = levels.iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect();
        let digest = crate::base::hash::sha256(&pixels).as_bytes()[..16].try_into().unwrap();
        let origin = Origin { digest, height: SIZE as u32, width: SIZE as u32 };
        part.push(&pixels, origin, *label, format!("{prefix}/{i}")).unwrap();
    }
    part
}

fn data(train: &[(Vec<f32>, u32)], test: &[(Vec<f32>, u32)]) -> DecodedData {
    let parts = [Some(part(train, "train")), None, Some(part(test, "test"))];
    DecodedData { name: "x".into(), classes: vec!["a".into(), "b".into()], parts, ..DecodedData::default() }
}

fn names(set: &Set) -> Vec<&str> {
    set.images.iter().map(|m| m.name.as_str()).collect()
}

#[test]
fn copies_and_near_copies_are_found_and_one_anatomy_is_not_enough() {
    let mut train: Vec<(Vec<f32>, u32)> = (0..80).map(|i| (picture(i), (i % 2) as u32)).collect();
    train.push((picture(3), 0)); // 80: 3 again, with another label
    let brighter: Vec<f32> = picture(4).iter().map(|v| 1.2 * v - 10.0).collect();
    let mut rng = Rng::new(1, 8, 0);
    let noisy: Vec<f32> = picture(5).iter().map(|v| v + 0.7 * rng.normal()).collect();
    let mut test: Vec<(Vec<f32>, u32)> = (100..110).map(|i| (picture(i), 0)).collect();
    test.extend([(brighter, 0), (noisy, 0)]); // 10, 11
    let found = alike(&data(&train, &test), &|_| Ok(())).unwrap();
    let sets: Vec<Vec<&str>> = found.sets.iter().map(names).collect();
    let due = [vec!["train/5", "test/11"], vec!["train/3", "train/80"], vec!["train/4", "test/10"]];
    assert_eq!(sets, due, "several labels first, of these several splits first");
    assert!(found.sets[1].images[1].copy && !found.sets[1].images[0].copy && found.sets[1].several_labels);
    assert_eq!((found.images, found.near_only, found.with_another_label), (6, 4, 4));
    assert_eq!((found.train_in_test, found.train_in_val, found.val_in_test), (2, 0, 0));
    assert!(found.sets[0].least_correlation >= found.correlation && found.sets[1].least_correlation == 1.0);
}

/// Each look is told, and a signal stops either half of them.
#[test]
fn a_search_tells_its_looks_and_can_be_stopped() {
    let train: Vec<(Vec<f32>, u32)> = (0..70).map(|i| (picture(i), 0)).collect();
    let data = data(&train, &[]);
    let told = std::cell::RefCell::new(Vec::new());
    let stopped = |at: u64| {
        let told = &told;
        move |done: u64| {
            told.borrow_mut().push(done);
            if done >= at { Err(crate::base::Error::TryAgain("stopped".into())) } else { Ok(()) }
        }
    };
    for at in [3, 70, 134] {
        told.borrow_mut().clear();
        assert_eq!(alike(&data, &stopped(at)).unwrap_err().exit_code(), 75);
        assert_eq!(told.borrow().last(), Some(&at));
    }
    told.borrow_mut().clear();
    alike(&data, &stopped(u64::MAX)).unwrap();
    assert_eq!(told.borrow().iter().copied().collect::<Vec<_>>(), (1..=70).chain([70, 134]).collect::<Vec<_>>());
    assert!(told.borrow().iter().all(|t| *t < looks_at(70)));
}

#[test]
fn pictures_without_detail_are_alike_only_where_they_are_equal() {
    let flat = |v: f32| vec![v; SIZE * SIZE];
    let train = [(flat(10.0), 0), (flat(200.0), 1), (flat(90.0), 0), (flat(10.0), 0), (picture(1), 1)];
    let found = alike(&data(&train, &[(flat(91.0), 0)]), &|_| Ok(())).unwrap();
    assert_eq!(found.sets.iter().map(names).collect::<Vec<_>>(), [["train/0", "train/3"]]);
    let nothing = alike(&DecodedData::default(), &|_| Ok(())).unwrap();
    assert_eq!((nothing.images, nothing.sets.len()), (0, 0));
}

#[test]
fn the_hash_does_not_see_brightness_and_contrast() {
    let small: Vec<f32> = picture(9)[..SIDE * SIDE].to_vec();
    let other: Vec<f32> = small.iter().map(|v| 0.5 * v + 60.0).collect();
    assert!((hash(&small) ^ hash(&other)).count_ones() <= 1, "the bit of the brightness alone");
    assert!((16..=48).contains(&hash(&small).count_ones()));
}
