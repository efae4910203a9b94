//! The result of an audit: a row for each label, and lists of alike, close and off-topic images.

use super::close::quartiles;
use super::scores::Scores;
use super::{AuditWish, Evidence, NEAREST};
use crate::base::hash::Hasher;
use crate::base::text::counted;
use crate::base::{Error, Result};
use crate::data::alike::{Alike, places};
use crate::data::{DecodedData, LeftOut, Split, covered};
use crate::study::embed::Embedded;
use crate::study::results::write_rows;
use serde::Serialize;
use std::path::Path;

/// The verdict on an image's label, a row of `suspects.csv`. The most suspicious label comes first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suspect {
    /// Its place, from 1. Images that could not be judged come last.
    pub rank: usize,
    /// Its name.
    pub path: String,
    /// Its split.
    pub split: &'static str,
    /// The class that its label names.
    pub given: String,
    /// The class that the classifier and the neighbours together find most likely ([`Suspect::score`]).
    pub likely: String,
    /// Whether its label is probably wrong. As many of the first rows are suspects as the confident joint counts wrong
    /// labels.
    pub suspect: bool,
    /// The probability of its label by the classifiers and the neighbours together ([`crate::noise::audit::pool`]). The
    /// smallest is the most suspicious. This and the other scores are empty if the label could not be judged.
    pub score: Option<f64>,
    /// The held-out probability of its label.
    pub self_confidence: Option<f64>,
    /// The probability of its label compared with the largest other one: (p − other + 1) / 2.
    pub normalized_margin: Option<f64>,
    /// Its label's share of its neighbours' votes less the largest share of another class, from −1 to 1.
    pub neighbours: Option<f64>,
    /// The held-out cross-entropy of its label, the mean over weight decays.
    pub loss: Option<f64>,
    /// The nearest image of another patient that is not alike.
    pub nearest: Option<String>,
    /// Its place in the data.
    #[serde(skip)]
    pub index: usize,
}

/// The labels of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassSummary {
    /// The class.
    pub class: String,
    /// Images with this label.
    pub images: usize,
    /// How many of these labels are wrong, by the confident joint.
    pub probably_wrong: usize,
}

/// Two images with nearly the same features.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Close {
    /// The path of the image that comes first in the data.
    pub path: String,
    /// Its split.
    pub split: &'static str,
    /// Its class.
    pub given: String,
    /// The path of the other image.
    pub other: String,
    /// Its split.
    pub other_split: &'static str,
    /// Its class.
    pub other_given: String,
    /// The cosine of their features.
    pub cosine: f32,
    /// Their places in the data.
    #[serde(skip)]
    pub indices: [usize; 2],
}

/// An image that is far from all others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OffTopic {
    /// Its name.
    pub path: String,
    /// Its split.
    pub split: &'static str,
    /// Its class.
    pub given: String,
    /// The mean Euclidean distance of its features from those of its nearest neighbours.
    pub distance: f64,
    /// Its place in the data.
    #[serde(skip)]
    pub index: usize,
}

/// A summary of an audit. It is written as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditSummary {
    /// The dataset.
    pub name: String,
    /// The column or array whose labels were judged; none where they are the dataset's own.
    pub column: Option<String>,
    /// Whose features were compared.
    pub features: String,
    /// How many folds there were.
    pub folds: usize,
    /// How many neighbours voted: as many as were asked for, or fewer if other groups have fewer images.
    pub neighbours: usize,
    /// The seed that drew the folds.
    pub seed: u64,
    /// The version of the program.
    pub wgslab: &'static str,
    /// The hash of the classes, and of the labels and pixels of each split at the size that features were made from.
    /// `data inspect` prints another hash, since it looks at another size.
    pub data_fingerprint: String,
    /// Files that could not be decoded.
    pub left_out: Vec<LeftOut>,
    /// The SHA-256 of the file of weights; `None` without a backbone.
    pub weights_sha256: Option<String>,
    /// Seconds that it took, without making the features.
    pub seconds: f64,
    /// How many images there are.
    pub images: usize,
    /// How many images could not be judged, because no other fold has images of their class.
    pub not_judged: usize,
    /// The classifier's agreement: the share of held-out images to which it gives the label that they have. If the
    /// share is small, the classifier is weak, and far too many labels count as wrong.
    pub agreement: f64,
    /// How much the classifier of each weight decay, from the smallest, and at last the neighbours count in
    /// [`Suspect::score`]: the powers of their probabilities.
    pub powers: Vec<f64>,
    /// How many labels are wrong, by the confident joint.
    pub probably_wrong: usize,
    /// The same for each class.
    pub classes: Vec<ClassSummary>,
    /// Images that are in the data twice or nearly twice.
    pub alike: Alike,
    /// Pairs of images with features closer than 1 − cos = `close_below` that are not in `alike`. The closest come
    /// first.
    pub close: Vec<Close>,
    /// A bound on the distance of close images: the lower outer fence of the logarithms of the distances of all images
    /// from their nearest. The fence is the first quartile less 3 times the distance between the quartiles.
    pub close_below: f64,
    /// Images whose mean distance from their nearest 10 is larger than `off_topic_above`. The farthest come first.
    pub off_topic: Vec<OffTopic>,
    /// A bound on these distances, their upper outer fence: the third quartile and 3 times the distance between the
    /// quartiles.
    pub off_topic_above: f64,
}

/// The result of an audit.
pub struct Audit {
    /// A row for each image.
    pub rows: Vec<Suspect>,
    /// The summary.
    pub summary: AuditSummary,
    /// The features that were compared, before they were scaled.
    pub embedded: Embedded,
    /// The images.
    pub(super) data: DecodedData,
    /// For each image: the nearest images of other groups.
    pub(super) near: Vec<Vec<(f32, usize)>>,
}

impl Audit {
    pub(super) fn of(
        (data, embedded): (DecodedData, Embedded),
        labels: &[u32],
        (features, alike): (String, Alike),
        evidence: Evidence,
        (wish, voters): (&AuditWish, usize),
    ) -> Result<Audit> {
        let (classes, n) = (data.classes.len(), labels.len());
        let images = Described { data: &data, places: places(&data) };
        let scores = Scores::of(&evidence, labels, classes);
        let suspects: usize = scores.wrong.iter().sum();
        let mut order: Vec<usize> = (0..scores.judged.len()).collect();
        order.sort_by(|&a, &b| scores.together[a].total_cmp(&scores.together[b]));
        let row = |(rank, k): (usize, usize)| {
            let index = scores.judged[k];
            Suspect {
                suspect: rank < suspects,
                likely: images.class(scores.likely[k]),
                score: Some(scores.together[k]),
                self_confidence: Some(scores.confidence[k]),
                normalized_margin: Some(scores.margin[k]),
                neighbours: Some(scores.votes[k]),
                loss: Some(evidence.loss[index]),
                ..images.row(rank, index, &evidence.near)
            }
        };
        let mut rows: Vec<Suspect> = order.into_iter().enumerate().map(row).collect();
        let (judged, left) = (rows.len(), (0..n).filter(|&i| !evidence.judged[i]));
        rows.extend(left.enumerate().map(|(k, i)| images.row(judged + k, i, &evidence.near)));
        let (close, close_below) = images.close(&evidence.near);
        let (off_topic, off_topic_above) = images.off_topic(&evidence.near, &evidence.lengths);
        let count = |c: usize| labels.iter().filter(|l| **l as usize == c).count();
        let of_class =
            |c: usize| ClassSummary { class: images.class(c), images: count(c), probably_wrong: scores.wrong[c] };
        let summary = AuditSummary {
            name: data.name.clone(),
            column: wish.labels.as_ref().map(|[_, column]| column.clone()),
            features,
            folds: wish.folds,
            neighbours: evidence.near.iter().map(|n| n.len().min(voters)).max().unwrap_or(0),
            seed: wish.seed,
            wgslab: env!("CARGO_PKG_VERSION"),
            data_fingerprint: fingerprint(&data)?,
            left_out: data.unreadable.clone(),
            weights_sha256: None,
            seconds: 0.0,
            images: n,
            not_judged: n - judged,
            agreement: scores.agreement,
            powers: scores.powers.clone(),
            probably_wrong: suspects,
            classes: (0..classes).map(of_class).collect(),
            alike,
            close,
            close_below,
            off_topic,
            off_topic_above,
        };
        Ok(Audit { rows, summary, embedded, data, near: evidence.near })
    }

    /// Writes `suspects.csv`.
    pub fn write(&self, path: &Path) -> Result<()> {
        if self.rows.is_empty() {
            return Err(Error::Failed("an audit without images".into()));
        }
        write_rows(path, &self.rows)
    }
}

impl AuditSummary {
    /// The summary in a sentence.
    pub fn told(&self) -> String {
        format!(
            "{}: {} of {} are probably wrong, says a classifier that agrees with {:.0} % of them; {} alike, {} off topic",
            self.name,
            self.probably_wrong,
            counted(self.images, "label"),
            100.0 * self.agreement,
            counted(self.alike.images, "image"),
            self.off_topic.len()
        )
    }
}

/// Images with their names.
pub(super) struct Described<'a> {
    pub data: &'a DecodedData,
    pub places: Vec<(Split, usize)>,
}

impl Described<'_> {
    fn class(&self, class: usize) -> String {
        self.data.classes.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    /// (name, split, class) of an image.
    pub fn image(&self, i: usize) -> (String, &'static str, String) {
        let (split, at) = self.places[i];
        let found = self.data.parts[split as usize].as_ref().map(|p| &p.images);
        let name = found.map(|images| images.names[at].clone()).unwrap_or_default();
        (name, split.name(), found.map(|images| self.class(images.labels[at] as usize)).unwrap_or_default())
    }

    /// A row without scores.
    fn row(&self, rank: usize, index: usize, near: &[Vec<(f32, usize)>]) -> Suspect {
        let (path, split, given) = self.image(index);
        let nearest = near[index].first().map(|n| self.image(n.1).0);
        Suspect {
            rank: rank + 1,
            path,
            split,
            likely: given.clone(),
            given,
            suspect: false,
            score: None,
            self_confidence: None,
            normalized_margin: None,
            neighbours: None,
            loss: None,
            nearest,
            index,
        }
    }

    /// Lengths count here, not only directions: an empty picture may lie in the direction of others, far beyond them.
    fn off_topic(&self, near: &[Vec<(f32, usize)>], lengths: &[f64]) -> (Vec<OffTopic>, f64) {
        let mean = |(i, near): (usize, &Vec<(f32, usize)>)| {
            let nearest = &near[..near.len().min(NEAREST)];
            let apart = |&(cos, j): &(f32, usize)| {
                let (a, b) = (lengths[i], lengths[j]);
                (a * a + b * b - 2.0 * a * b * f64::from(cos)).max(0.0).sqrt()
            };
            nearest.iter().map(apart).sum::<f64>() / nearest.len().max(1) as f64
        };
        let distances: Vec<f64> = near.iter().enumerate().map(mean).collect();
        let Some([first, third]) = quartiles(&distances) else { return (Vec::new(), 0.0) };
        let fence = third + 3.0 * (third - first);
        let far = (0..near.len()).filter(|&i| distances[i] > fence);
        let one = |index: usize| {
            let (path, split, given) = self.image(index);
            OffTopic { path, split, given, distance: distances[index], index }
        };
        let mut found: Vec<OffTopic> = far.map(one).collect();
        found.sort_by(|a, b| b.distance.total_cmp(&a.distance));
        (found, fence)
    }
}

/// The address of what an audit looks at.
fn fingerprint(data: &DecodedData) -> Result<String> {
    let mut all = Hasher::new().part("wgslab audit 1");
    data.classes.iter().for_each(|class| all.update(class));
    for (split, images) in data.parts_with_images() {
        all.update(split.name());
        all.update(bytemuck::cast_slice::<u32, u8>(&images.labels));
        all.update(images.fingerprint()?);
    }
    Ok(covered(all.hex(), data.unreadable.iter()))
}
