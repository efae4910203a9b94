//! Images that are alike: the same picture again, or nearly: brighter, sharper, compressed again, slightly cut.
//!
//! **Exact.** Two images with equal [`Origin`](super::Origin) digests.
//!
//! **Near.** A perceptual hash proposes and the detail of the pictures decides. The hash is the usual one of 64 bits:
//! the picture in 32 × 32 gray levels, the 8 × 8 lowest coefficients of its cosine transform, and a bit for each that
//! is above their median (Zauner 2010, "pHash"). Pictures whose hashes differ in at most [`HAMMING`] bits are looked
//! at again, since all X-rays of one body part have nearly the same hash. The second look compares what is left of the
//! 32 × 32 levels when each is taken less the mean of the 5 × 5 levels around it and divided by their standard
//! deviation, and when the mean of that over the dataset, which is the anatomy that all share, is subtracted. The two
//! are near duplicates if the correlation of these is at least [`CORRELATION`] and at least [`DEVIATIONS`] standard
//! deviations of the correlation of unrelated images of the same dataset. A correlation of 0.98 is always enough. Below 32
//! pictures the deviations are not asked for and no mean is subtracted: few pictures may all be alike.
//!
//! Turned and mirrored copies are not found.

use super::decode::{Resizer, in_parallel, resized};
use super::{DecodedData, Split};
use crate::base::Result;
use crate::base::rng::Rng;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashMap;

/// The most bits in which the hashes of near duplicates differ.
pub const HAMMING: u32 = 12;
/// The least correlation of near duplicates.
pub const CORRELATION: f32 = 0.65;
/// The least correlation of near duplicates, in standard deviations of that of unrelated images.
pub const DEVIATIONS: f32 = 6.0;

/// Rows and columns that pictures are compared at.
const SIDE: usize = 32;
/// Pixels to each side of those whose mean and deviation a pixel is taken by.
const AROUND: usize = 2;
/// Added to that deviation, in gray levels, so that the noise of a flat picture is not its detail.
const FLAT: f32 = 2.0;
/// Pairs of images drawn for the correlation of unrelated ones.
const DRAWN: usize = 20_000;
/// The random stream that draws them.
const STREAM: u32 = 0x414C;

/// An image of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its place among all images: those of train, then of val, then of test.
    #[serde(skip)]
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Its split.
    pub split: &'static str,
    /// The name of its class.
    pub class: String,
    /// Whether an earlier image of the set has equal size and pixels.
    pub copy: bool,
}

/// Images of which each is alike to at least one other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Set {
    /// The images, in the order of the data.
    pub images: Vec<Member>,
    /// Whether they have several labels.
    pub several_labels: bool,
    /// Whether they stand in several splits.
    pub several_splits: bool,
    /// The least correlation of two images that put an image into the set. 1 for exact duplicates.
    pub least_correlation: f32,
}

/// All sets of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Alike {
    /// Hashes of near duplicates differ in no more bits.
    pub hamming: u32,
    /// The correlation of near duplicates is at least this.
    pub correlation: f32,
    /// Images that stand in a set.
    pub images: usize,
    /// Of these, images that are no exact duplicate of any other.
    pub near_only: usize,
    /// Images in a set with several labels.
    pub with_another_label: usize,
    /// Training images in a set with a test image.
    pub train_in_test: usize,
    /// Training images in a set with a validation image.
    pub train_in_val: usize,
    /// Validation images in a set with a test image.
    pub val_in_test: usize,
    /// The sets: those with several labels first, then those with several splits, in the order of the data.
    pub sets: Vec<Set>,
}

/// Where an image stands: its split and its place in it.
pub fn places(data: &DecodedData) -> Vec<(Split, usize)> {
    data.parts_with_images().flat_map(|(split, images)| (0..images.len()).map(move |i| (split, i))).collect()
}

/// The sets of images of `data` that are alike. `told` hears how many images were looked at.
pub fn alike(data: &DecodedData, told: &dyn Fn(usize)) -> Result<Alike> {
    let places = places(data);
    let part = |split: Split| data.parts[split as usize].as_ref();
    let digest = |&(split, i): &(Split, usize)| part(split).map(|p| p.origins[i].digest).unwrap_or_default();
    let mut first_of: HashMap<[u8; 16], usize> = HashMap::new();
    let first: Vec<usize> = places.iter().enumerate().map(|(i, p)| *first_of.entry(digest(p)).or_insert(i)).collect();
    // Each picture is looked at once.
    let once: Vec<usize> = (0..places.len()).filter(|&i| first[i] == i).collect();
    let looks = looks(data, &places, &once, told)?;
    let least = threshold(&looks);
    let mut joined = Joined::new(places.len());
    first.iter().enumerate().for_each(|(i, &f)| joined.join(i, f, 1.0));
    for (from, chunk) in looks.chunks(256).enumerate().map(|(c, chunk)| (c * 256, chunk)) {
        let found: Vec<Vec<(usize, f32)>> =
            chunk.par_iter().enumerate().map(|(i, look)| look.near(from + i, &looks, least)).collect();
        for (i, near) in found.into_iter().enumerate() {
            near.into_iter().for_each(|(j, r)| joined.join(once[from + i], once[j], r));
        }
    }
    Ok(gathered(data, &places, &first, joined, least))
}

/// What is compared of a picture.
struct Look {
    hash: u64,
    /// The detail, of mean 0 and length 1; all 0 of a picture without any.
    detail: Vec<f32>,
}

impl Look {
    /// The later pictures that are nearly this one, which stands at `own`, with their correlations.
    fn near(&self, own: usize, all: &[Look], least: f32) -> Vec<(usize, f32)> {
        let close = |other: &&(usize, &Look)| (other.1.hash ^ self.hash).count_ones() <= HAMMING;
        let later = all.iter().enumerate().skip(own + 1);
        let looked = later.filter(|o| close(&o)).map(|(j, other)| (j, dot(&self.detail, &other.detail)));
        looked.filter(|(_, r)| *r >= least).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The looks of the images `once`.
fn looks(data: &DecodedData, places: &[(Split, usize)], once: &[usize], told: &dyn Fn(usize)) -> Result<Vec<Look>> {
    let mut looks = Vec::with_capacity(once.len());
    let one = |k: usize, resizer: &mut Resizer| -> Result<Look> {
        let (split, i) = places[once[k]];
        let Some(part) = &data.parts[split as usize] else { return Ok(Look { hash: 0, detail: Vec::new() }) };
        let small: Vec<f32> = resized(&part.images, i, SIDE, 1, resizer)?.into_iter().map(f32::from).collect();
        Ok(Look { hash: hash(&small), detail: detail(&small) })
    };
    in_parallel(once.len(), one, |k, look| {
        looks.push(look?);
        told(k + 1);
        Ok(())
    })?;
    centre(&mut looks);
    Ok(looks)
}

/// Subtracts the mean over all pictures from each, and divides it by its length.
fn centre(looks: &mut [Look]) {
    let mut mean = vec![0f64; SIDE * SIDE];
    for look in looks.iter() {
        mean.iter_mut().zip(&look.detail).for_each(|(m, v)| *m += f64::from(*v));
    }
    // Of few pictures the mean is no anatomy but a part of each of them.
    let share = if looks.len() < 32 { 0.0 } else { 1.0 / looks.len() as f64 };
    looks.par_iter_mut().for_each(|look| {
        look.detail.iter_mut().zip(&mean).for_each(|(v, m)| *v -= (m * share) as f32);
        let own = look.detail.iter().sum::<f32>() / look.detail.len().max(1) as f32;
        look.detail.iter_mut().for_each(|v| *v -= own);
        let length = dot(&look.detail, &look.detail).sqrt();
        look.detail.iter_mut().for_each(|v| *v = if length > 1e-3 { *v / length } else { 0.0 });
    });
}

/// The least correlation of near duplicates among these pictures.
fn threshold(looks: &[Look]) -> f32 {
    if looks.len() < 2 {
        return CORRELATION;
    }
    let mut rng = Rng::new(0, STREAM, 0);
    let squares: f64 = (0..DRAWN)
        .map(|_| {
            let a = rng.below(looks.len());
            let b = (a + 1 + rng.below(looks.len() - 1)) % looks.len();
            f64::from(dot(&looks[a].detail, &looks[b].detail)).powi(2)
        })
        .sum();
    // Few pictures may all be alike, and nothing would be far from the mean.
    let deviation = if looks.len() < 32 { 0.0 } else { (squares / DRAWN as f64).sqrt() as f32 };
    CORRELATION.max(DEVIATIONS * deviation).min(0.98)
}

/// The perceptual hash of SIDE × SIDE levels.
fn hash(levels: &[f32]) -> u64 {
    const LOW: usize = 8;
    let cosine = |u: usize, i: usize| {
        let turns = (2 * i + 1) as f32 * u as f32 / (4 * SIDE) as f32;
        (turns * std::f32::consts::TAU).cos()
    };
    let table: Vec<f32> = (0..LOW * SIDE).map(|k| cosine(k / SIDE, k % SIDE)).collect();
    let rows: Vec<f32> =
        (0..SIDE * LOW).map(|k| dot(&levels[k / LOW * SIDE..][..SIDE], &table[k % LOW * SIDE..][..SIDE])).collect();
    let low: Vec<f32> =
        (0..LOW * LOW).map(|k| (0..SIDE).map(|y| rows[y * LOW + k % LOW] * table[k / LOW * SIDE + y]).sum()).collect();
    let mut sorted = low[1..].to_vec(); // the first is the brightness
    sorted.sort_by(f32::total_cmp);
    let median = sorted[sorted.len() / 2];
    low.iter().enumerate().map(|(k, &v)| u64::from(v > median) << k).sum()
}

/// Each level less the mean of those around it, as a multiple of their standard deviation.
fn detail(levels: &[f32]) -> Vec<f32> {
    let clamped = |at: usize, by: usize| (at + by).saturating_sub(AROUND).min(SIDE - 1);
    let one = |k: usize| {
        let (y, x) = (k / SIDE, k % SIDE);
        let (mut sum, mut squares) = (0f32, 0f32);
        const WIDTH: usize = 2 * AROUND + 1;
        for by in 0..WIDTH * WIDTH {
            let v = levels[clamped(y, by / WIDTH) * SIDE + clamped(x, by % WIDTH)];
            (sum, squares) = (sum + v, squares + v * v);
        }
        let mean = sum / (WIDTH * WIDTH) as f32;
        let deviation = (squares / (WIDTH * WIDTH) as f32 - mean * mean).max(0.0).sqrt();
        (levels[k] - mean) / (deviation + FLAT)
    };
    (0..SIDE * SIDE).map(one).collect()
}

/// Sets that grow together: a forest, and for each root the least correlation that joined two of its images.
pub struct Joined {
    above: Vec<usize>,
    least: Vec<f32>,
}

impl Joined {
    /// `n` sets of one image each.
    pub fn new(n: usize) -> Self {
        Joined { above: (0..n).collect(), least: vec![1.0; n] }
    }

    /// The earliest image of the set of `i`.
    pub fn root(&mut self, mut i: usize) -> usize {
        while self.above[i] != i {
            self.above[i] = self.above[self.above[i]];
            i = self.above[i];
        }
        i
    }

    /// Makes one set of those of `a` and `b`, for a correlation.
    pub fn join(&mut self, a: usize, b: usize, correlation: f32) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            // The earliest image is the root, so that sets come in the order of the data.
            self.above[a.max(b)] = a.min(b);
            self.least[a.min(b)] = self.least[a].min(self.least[b]).min(correlation);
        }
    }
}

fn gathered(
    data: &DecodedData,
    places: &[(Split, usize)],
    first: &[usize],
    mut joined: Joined,
    correlation: f32,
) -> Alike {
    let mut of: Vec<Vec<usize>> = vec![Vec::new(); places.len()];
    (0..places.len()).for_each(|i| of[joined.root(i)].push(i));
    let mut copies: HashMap<usize, usize> = HashMap::new();
    first.iter().for_each(|f| *copies.entry(*f).or_insert(0) += 1);
    let mut found = Alike { hamming: HAMMING, correlation, ..Alike::default() };
    for (root, indices) in of.iter().enumerate().filter(|(_, set)| set.len() > 1) {
        let images: Vec<Member> = indices.iter().filter_map(|&i| member(data, places, first, i)).collect();
        let has = |split: Split| images.iter().any(|m| m.split == split.name());
        let count = |split: Split, other: Split| {
            if has(other) { images.iter().filter(|m| m.split == split.name()).count() } else { 0 }
        };
        found.images += images.len();
        found.near_only += indices.iter().filter(|i| copies.get(&first[**i]) == Some(&1)).count();
        found.train_in_test += count(Split::Train, Split::Test);
        found.train_in_val += count(Split::Train, Split::Val);
        found.val_in_test += count(Split::Val, Split::Test);
        let several_labels = images.iter().any(|m| m.class != images[0].class);
        let several_splits = images.iter().any(|m| m.split != images[0].split);
        found.with_another_label += if several_labels { images.len() } else { 0 };
        found.sets.push(Set { images, several_labels, several_splits, least_correlation: joined.least[root] });
    }
    found.sets.sort_by_key(|s| (!s.several_labels, !s.several_splits));
    found
}

fn member(data: &DecodedData, places: &[(Split, usize)], first: &[usize], index: usize) -> Option<Member> {
    let (split, i) = places[index];
    let images = &data.parts[split as usize].as_ref()?.images;
    let class = data.classes.get(images.labels[i] as usize).cloned().unwrap_or_else(|| images.labels[i].to_string());
    Some(Member { index, name: images.names[i].clone(), split: split.name(), class, copy: first[index] != index })
}

#[cfg(test)]
mod tests {
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
        let found = alike(&data(&train, &test), &|_| ()).unwrap();
        let sets: Vec<Vec<&str>> = found.sets.iter().map(names).collect();
        let due = [vec!["train/5", "test/11"], vec!["train/3", "train/80"], vec!["train/4", "test/10"]];
        assert_eq!(sets, due, "several labels first, of these several splits first");
        assert!(found.sets[1].images[1].copy && !found.sets[1].images[0].copy && found.sets[1].several_labels);
        assert_eq!((found.images, found.near_only, found.with_another_label), (6, 4, 4));
        assert_eq!((found.train_in_test, found.train_in_val, found.val_in_test), (2, 0, 0));
        assert!(found.sets[0].least_correlation >= found.correlation && found.sets[1].least_correlation == 1.0);
    }

    #[test]
    fn pictures_without_detail_are_alike_only_where_they_are_equal() {
        let flat = |v: f32| vec![v; SIZE * SIZE];
        let train = [(flat(10.0), 0), (flat(200.0), 1), (flat(90.0), 0), (flat(10.0), 0), (picture(1), 1)];
        let found = alike(&data(&train, &[(flat(91.0), 0)]), &|_| ()).unwrap();
        assert_eq!(found.sets.iter().map(names).collect::<Vec<_>>(), [["train/0", "train/3"]]);
        let nothing = alike(&DecodedData::default(), &|_| ()).unwrap();
        assert_eq!((nothing.images, nothing.sets.len()), (0, 0));
    }

    #[test]
    fn the_hash_does_not_see_brightness_and_contrast() {
        let small: Vec<f32> = picture(9)[..SIDE * SIDE].to_vec();
        let other: Vec<f32> = small.iter().map(|v| 0.5 * v + 60.0).collect();
        assert!((hash(&small) ^ hash(&other)).count_ones() <= 1, "the bit of the brightness alone");
        assert!((16..=48).contains(&hash(&small).count_ones()));
    }
}
