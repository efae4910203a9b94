//! The input of a noise kind: the labels of a training set, and its images, features and annotators' labels where the
//! caller has them. A kind that needs one that is missing gives an error.

use super::STREAM;
use crate::base::rng::Rng;
use crate::base::{Error, Result};
use std::borrow::Cow;
use std::fmt::Debug;

/// The labels to corrupt, with everything that a kind may read.
#[derive(Clone, Copy, Debug)]
pub struct Corrupted<'a> {
    /// The true class of each sample.
    pub labels: &'a [u32],
    /// The number of classes. Labels are from 0 to one less.
    pub classes: usize,
    /// Their names, for settings that name classes; empty where they are not known.
    pub class_names: &'a [String],
    /// The share of labels that go wrong, from 0 to 1, as the kind defines it.
    pub rate: f64,
    /// The seed of the random choices.
    pub seed: u64,
    /// The images, for kinds that mislabel some images more often than others.
    pub pixels: Option<Pixels<'a>>,
    /// What a network computes from the images, for the same purpose.
    pub features: Option<Features<'a>>,
    /// Labels that people gave the samples, for kinds that use real mistakes instead of made-up ones.
    pub given: Option<&'a [u32]>,
}

/// The images of the samples, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// The pixels: samples × height × width × channels.
    pub bytes: &'a dyn Shown,
    /// Height, width, channels.
    pub shape: [usize; 3],
}

/// Bytes that may be elsewhere than in memory.
pub trait Shown: Debug {
    /// How many there are.
    fn length(&self) -> usize;

    /// The bytes of image `i`, of `stride` bytes each.
    fn image(&self, i: usize, stride: usize) -> Result<Cow<'_, [u8]>>;
}

impl Shown for Vec<u8> {
    fn length(&self) -> usize {
        self.len()
    }

    fn image(&self, i: usize, stride: usize) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(&self[i * stride..(i + 1) * stride]))
    }
}

/// A vector for each sample, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// The values: samples × width.
    pub values: &'a [f32],
    /// The length of one vector.
    pub width: usize,
}

impl Pixels<'_> {
    /// The bytes of image `i`.
    pub fn image(&self, i: usize) -> Result<Cow<'_, [u8]>> {
        self.bytes.image(i, self.shape.iter().product())
    }
}

impl Features<'_> {
    /// The vector of sample `i`.
    pub fn of(&self, i: usize) -> &[f32] {
        &self.values[i * self.width..(i + 1) * self.width]
    }
}

impl<'a> Corrupted<'a> {
    /// Only labels, without images, features or annotators' labels.
    pub fn of(labels: &'a [u32], classes: usize, rate: f64, seed: u64) -> Self {
        Corrupted { labels, classes, class_names: &[], rate, seed, pixels: None, features: None, given: None }
    }

    /// The classes that have images, in ascending order. A label may become only one of these.
    pub fn present(&self) -> Vec<u32> {
        let mut held = vec![false; self.classes];
        self.labels.iter().for_each(|&l| held[l as usize] = true);
        (0..self.classes as u32).filter(|&c| held[c as usize]).collect()
    }

    /// The labels after a noise that treats each sample alone: label `label` of sample `i` goes wrong with the probability
    /// `chance(i, label)`, and becomes what `other` draws. A greater probability keeps what was wrong, and how.
    pub(super) fn flipped(
        &self,
        chance: impl Fn(usize, u32) -> f64,
        other: impl Fn(&mut Rng, usize, u32) -> u32,
    ) -> Vec<u32> {
        let flip = |(i, &label): (usize, &u32)| {
            let mut rng = Rng::new(self.seed, STREAM, i as u64);
            if f64::from(rng.uniform()) < chance(i, label) { other(&mut rng, i, label) } else { label }
        };
        self.labels.iter().enumerate().map(flip).collect()
    }

    /// The images, or an error for a kind that needs them.
    pub fn pixels(&self) -> Result<Pixels<'a>> {
        self.pixels.ok_or_else(|| missing("the pixels of the images"))
    }

    /// The features, or an error for a kind that needs them.
    pub fn features(&self) -> Result<Features<'a>> {
        self.features.ok_or_else(|| missing("features of the images"))
    }

    /// The labels that people gave, or an error for a kind that needs them.
    pub fn given(&self) -> Result<&'a [u32]> {
        self.given.ok_or_else(|| missing("labels that people gave the images"))
    }

    /// Refuses input that no kind could work on.
    pub(super) fn check(&self) -> Result<()> {
        let (labels, classes) = (self.labels, self.classes);
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(Error::Usage(format!("the noise rate is {}; use a share from 0 to 1", self.rate)));
        }
        if let Some(i) = labels.iter().position(|&y| y as usize >= classes) {
            return Err(Error::Data(format!(
                "label {} of sample {i} is out of range; with {classes} classes labels are 0 to {}",
                labels[i],
                classes.saturating_sub(1)
            )));
        }
        if self.rate > 0.0 && self.present().len() < 2 {
            return Err(Error::Data(format!(
                "training images of one class only leave no other for a label to flip to ({classes} in all); use noise rate 0 or \
                 another dataset"
            )));
        }
        let n = labels.len();
        if let Some(p) = self.pixels.filter(|p| p.bytes.length() != n * p.shape.iter().product::<usize>()) {
            let [height, width, channels] = p.shape;
            let bytes = p.bytes.length();
            return Err(Error::Failed(format!(
                "{bytes} bytes of pixels do not make {n} images of {height} × {width} × {channels}"
            )));
        }
        if let Some(f) = self.features.filter(|f| f.values.len() != n * f.width) {
            let values = f.values.len();
            return Err(Error::Failed(format!("{values} features do not make {n} vectors of {}", f.width)));
        }
        if let Some(given) = self.given.map(<[u32]>::len).filter(|given| *given != n) {
            return Err(Error::Failed(format!("{given} labels were given to {n} images; pass one for each")));
        }
        Ok(())
    }
}

fn missing(what: &str) -> Error {
    Error::Usage(format!("this kind of label noise needs {what}, which this run does not have; use another kind"))
}
