//! An audit of a dataset: which of its labels are probably wrong, which images are there twice, and which do not belong.
//!
//! Features of every image come from a backbone, or from [`descriptor`] if none is given. Each feature is scaled to
//! mean 0 and standard deviation 1. Images of one patient, and images that are alike ([`data::alike`]), are in one fold
//! ([`folds`]). A label is always judged by images of other folds or of other groups:
//!
//! - **Confident learning**: a linear classifier learns the given labels of all folds but one and gives the
//!   probabilities of that one. It is trained with several weight decays, and the one with the smallest loss on
//!   held-out labels counts. The score is the probability of the given label. The confident joint says how many labels
//!   are wrong ([`noise::audit::confident`]).
//! - **Loss over folds**: the mean over all weight decays of the held-out cross-entropy of the given label.
//! - **Neighbours**: the share of the votes of the nearest images for the given label, less the largest share of another
//!   ([`noise::audit::votes`]).
//!
//! The score that ranks the labels takes these together ([`noise::audit::pool`]): the probability of the given label by the
//! classifiers of all weight decays and by the shares of the votes. How much each of them counts is learnt from all labels,
//! because good features make good neighbours and poor ones do not. The suspects are the first images of this order, as many
//! as the joint counts wrong labels.

mod close;
mod found;
mod page;
mod scores;

use super::config::{Config, Data};
use super::embed::{Embedded, Wish};
use super::metrics::probabilities;
use super::neighbours::{Near, nearest_of};
use super::probe::Rows;
use super::session::Job;
use crate::base::hash::sha256;
use crate::base::text::counted;
use crate::base::{Error, Result};
use crate::data::alike::{Alike, Joined, alike, looks_at, places};
use crate::data::given::GivenFile;
use crate::data::{DecodedData, descriptor};
use crate::nn::weights;
use crate::noise::audit::confident::Judged;
use crate::noise::audit::folds::folds;
use crate::noise::audit::votes;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub use close::CloseInFeatures;
pub use found::{Audit, AuditSummary, ClassSummary, Close, OffTopic, Suspect};
pub use page::alike_page;

/// The weight decays of the linear classifier. Its features have mean 0 and standard deviation 1.
const WEIGHT_DECAYS: [f64; 3] = [1e-2, 1e-1, 1.0];
/// The search for a classifier ends when the largest element of the gradient is below this. Ranks need no more digits.
const TOLERANCE: f64 = 1e-3;
/// τ of the vote of neighbours.
const TEMPERATURE: f64 = 0.1;
/// How many neighbours vote where nobody says it.
pub const VOTERS: usize = 50;
/// How many more neighbours than asked for are looked for at once, since those of an image's own group do not vote.
const SPARE: usize = 64;
/// How many of the nearest images decide whether an image is off topic.
const NEAREST: usize = 10;
/// Side in pixels of the pictures that are kept without a backbone. It is enough to show them.
const SHOWN: usize = 64;

/// How an audit is done.
#[derive(Clone, Debug)]
pub struct AuditWish {
    /// The labels that are judged: those of a file and a column as `[noise.given]` has them; none for the dataset's own.
    pub labels: Option<[String; 2]>,
    /// How many folds there are.
    pub folds: usize,
    /// How many neighbours vote; none for [`VOTERS`], or as many as there are.
    pub neighbours: Option<usize>,
    /// What draws the folds.
    pub seed: u64,
    /// How images become the input of the backbone.
    pub embed: Wish,
}

/// What the other images say of each image's label.
#[derive(Default)]
pub(super) struct Evidence {
    /// Whether each image can be judged: other folds have images of its class.
    judged: Vec<bool>,
    /// For each image: the probabilities of the classes, by the best weight decay.
    probabilities: Vec<f64>,
    /// For each weight decay and image: the logarithms of the probabilities.
    logs: Vec<Vec<f64>>,
    /// For each image: the held-out loss, the mean over the weight decays.
    loss: Vec<f64>,
    /// For each image: neighbours of other groups, nearest first. There are as many as vote, and at least [`NEAREST`].
    near: Vec<Near>,
    /// For each image: the classes' shares of the votes.
    shares: Vec<f64>,
    /// For each image: the logarithms of the smoothed shares.
    log_shares: Vec<f64>,
    /// For each image: the length of its features.
    lengths: Vec<f64>,
}

impl Job<'_> {
    /// Audits the labels of every image of `spec`, with the features of the backbone in `weights`.
    pub fn audit(&self, spec: &str, weights: Option<&Path>, wish: &AuditWish) -> Result<Audit> {
        self.audited(spec, weights, wish).map_err(|e| match e {
            // Errors of the stages inside speak of checkpoints of runs. An audit keeps no checkpoint.
            Error::TryAgain(_) if self.stop.load(Ordering::Relaxed) => {
                Error::TryAgain("stopped; nothing is written, and the same command begins anew".into())
            }
            other => other,
        })
    }

    /// Pairs of images of `spec` whose features, by the backbone in `weights`, are close, and that are neither of one patient
    /// nor alike by their pixels.
    pub fn close_in_features(&self, spec: &str, weights: &Path, embed: &Wish) -> Result<CloseInFeatures> {
        let sha256 = sha256(&weights::read(weights)?);
        let (embedded, data) = self.embed_beside(weights, spec, embed, &Ok)?;
        let rows = standardized(&embedded.features, embedded.width);
        let groups = groups(&data, &self.alike(&data)?);
        self.progress.stage("look for neighbours", groups.len() as u64, 0, "images");
        let near = self.of_other_groups((&rows, embedded.width), &groups, NEAREST)?;
        Ok(CloseInFeatures::of(&data, &near, features_of(weights), sha256))
    }

    fn audited(&self, spec: &str, weights: Option<&Path>, wish: &AuditWish) -> Result<Audit> {
        let weights_sha256 = weights.map(|path| Ok(sha256(&weights::read(path)?))).transpose()?;
        let (embedded, data) = match weights {
            Some(path) => self.embed_beside(path, spec, &wish.embed, &|data| self.relabelled(spec, data, wish))?,
            None => self.described(spec, wish)?,
        };
        let by = match weights {
            Some(path) => features_of(path),
            None => "gradients and colours (no backbone was given)".to_string(),
        };
        let since = Instant::now();
        let (rows, width) = (standardized(&embedded.features, embedded.width), embedded.width);
        let labels: Vec<u32> = data.parts.iter().flatten().flat_map(|p| p.images.labels.iter().copied()).collect();
        let classes = data.classes.len();
        if classes < 2 || labels.iter().all(|l| *l == labels[0]) {
            return Err(Error::Data(format!("{}: all images have one label, so none can be compared", data.name)));
        }
        let voters = self.voters(&data, wish.neighbours)?;
        let alike = self.alike(&data)?;
        let groups = groups(&data, &alike);
        let many = groups.iter().collect::<std::collections::HashSet<_>>().len();
        if wish.folds < 2 || wish.folds > many {
            return Err(Error::Usage(format!(
                "--folds is {}; {} has {many} images or patients that are not alike, so use 2 to {many}",
                wish.folds, data.name
            )));
        }
        let fold = folds(&labels, &groups, classes, wish.folds, wish.seed);
        let held = self.held_out((&rows, width), &labels, (&fold, wish.folds), classes)?;
        self.progress.stage("look for neighbours", labels.len() as u64, 0, "images");
        let near = self.of_other_groups((&rows, width), &groups, voters.max(NEAREST))?;
        let voting: Vec<Near> = near.iter().map(|n| n[..n.len().min(voters)].to_vec()).collect();
        let shares = votes::shares(&voting, &labels, classes, TEMPERATURE);
        let mut log_shares = votes::smoothed_shares(&voting, &labels, classes, TEMPERATURE);
        log_shares.iter_mut().for_each(|share| *share = share.ln());
        let length = |row: &[f32]| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let lengths = rows.chunks_exact(width).map(length).collect();
        let evidence = Evidence { near, shares, log_shares, lengths, ..held };
        let mut found = Audit::of((data, embedded), &labels, (by, alike), evidence, (wish, voters))?;
        found.summary.weights_sha256 = weights_sha256;
        found.summary.seconds = since.elapsed().as_secs_f64();
        self.progress.done(&found.summary.told());
        Ok(found)
    }

    /// How many neighbours vote.
    fn voters(&self, data: &DecodedData, asked: Option<usize>) -> Result<usize> {
        let others = places(data).len().saturating_sub(1);
        match asked {
            Some(k) if k > others => Err(Error::Usage(format!(
                "--neighbours is {k}; {} has {}, so an image has {others} others at most: use 1 to {others}",
                data.name,
                counted(others + 1, "image")
            ))),
            asked => Ok(asked.unwrap_or(VOTERS)),
        }
    }

    /// The dataset with the labels that are judged.
    fn relabelled(&self, spec: &str, data: DecodedData, wish: &AuditWish) -> Result<DecodedData> {
        let Some([file, column]) = &wish.labels else { return Ok(data) };
        let (data, left) = GivenFile::read("--given-labels", [file, column], (spec, self.data_root))?.relabel(data)?;
        for split in left {
            self.progress
                .note(&format!("{split}: no image has a label in {column}; the split is left out of the audit"));
        }
        Ok(data)
    }

    /// Which images are there twice, until a signal stops the search.
    fn alike(&self, data: &DecodedData) -> Result<Alike> {
        let images = places(data).len();
        self.progress.stage("look for images that are alike", looks_at(images), 0, "looks");
        alike(data, &|done| {
            self.progress.step(done, "");
            self.expect_going()
        })
    }

    /// An error once a signal asked to stop.
    fn expect_going(&self) -> Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Error::TryAgain("stopped".into())),
            false => Ok(()),
        }
    }

    /// Features without a backbone.
    fn described(&self, spec: &str, wish: &AuditWish) -> Result<(Embedded, DecodedData)> {
        self.progress.note(
            "warning: without --weights, images are compared by their gradients and colours, which know little of what a \
             picture shows; the features of a backbone that was trained on many images find more",
        );
        let data = Data { image_size: SHOWN, store_size: SHOWN, channels: 3, ..self.config.data.clone() };
        let config = Config { data, ..self.config.clone() };
        let data = Job { config: &config, kernels: self.kernels.clone(), ..*self }.all_images(spec)?;
        let data = self.relabelled(spec, data, wish)?;
        let mut found = Embedded { width: descriptor::width(3), classes: data.classes.clone(), ..Embedded::default() };
        for (split, images) in data.parts_with_images() {
            found.features.extend(descriptor::describe(images, &|_| self.expect_going())?);
            found.name(split, images);
        }
        Ok((found, data))
    }

    /// What classifiers say that did not learn from an image.
    fn held_out(
        &self,
        (rows_of_features, width): (&[f32], usize),
        labels: &[u32],
        (fold, count): (&[usize], usize),
        classes: usize,
    ) -> Result<Evidence> {
        let mut of_decay = vec![vec![0.0; labels.len() * classes]; WEIGHT_DECAYS.len()];
        let mut judged = vec![false; labels.len()];
        self.progress.stage("judge the labels of each fold", count as u64, 0, "folds");
        for held in 0..count {
            let rows = |inside: bool| (0..labels.len()).filter(move |&i| (fold[i] == held) == inside);
            let take = |inside: bool| -> Vec<f32> {
                rows(inside).flat_map(|i| rows_of_features[i * width..][..width].iter().copied()).collect()
            };
            let (train, given): (_, Vec<u32>) = (take(false), rows(false).map(|i| labels[i]).collect());
            let test = take(true);
            let rows_of = Rows::new(self.gpu, &train, &given, width, classes);
            let fitted = Rows { tolerance: TOLERANCE, ..rows_of }.fit(self, &WEIGHT_DECAYS)?;
            for (all, linear) in of_decay.iter_mut().zip(fitted) {
                let found = probabilities(&linear.logits(&test), classes);
                for (i, row) in rows(true).zip(found.chunks_exact(classes)) {
                    all[i * classes..][..classes].copy_from_slice(row);
                }
            }
            rows(true).for_each(|i| judged[i] = given.contains(&labels[i]));
            self.progress.step(held as u64 + 1, "");
        }
        let given = |logs: &[f64]| -> Vec<f64> {
            labels.iter().enumerate().map(|(i, &l)| -logs[i * classes + l as usize]).collect()
        };
        let logs: Vec<Vec<f64>> =
            of_decay.iter().map(|all| all.iter().map(|p| p.max(f64::MIN_POSITIVE).ln()).collect()).collect();
        let losses: Vec<Vec<f64>> = logs.iter().map(|logs| given(logs)).collect();
        let sum = |d: &usize| (0..labels.len()).filter(|&i| judged[i]).map(|i| losses[*d][i]).sum::<f64>();
        let best = (0..WEIGHT_DECAYS.len()).min_by(|a, b| sum(a).total_cmp(&sum(b))).unwrap_or(0);
        let mean = |i: usize| losses.iter().map(|l| l[i]).sum::<f64>() / losses.len() as f64;
        let loss = (0..labels.len()).map(mean).collect();
        Ok(Evidence { judged, probabilities: of_decay.swap_remove(best), logs, loss, ..Evidence::default() })
    }

    /// For each image: the nearest images that are in other groups than its own.
    fn of_other_groups(&self, (features, width): (&[f32], usize), groups: &[usize], k: usize) -> Result<Vec<Near>> {
        let n = groups.len();
        let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
        groups.iter().enumerate().for_each(|(i, &g)| members.entry(g).or_default().push(i));
        let largest = members.values().map(Vec::len).max().unwrap_or(0);
        let asked = (k + largest.min(SPARE)).min(n);
        let mut near = nearest_of(self, features, features, width, asked)?;
        for (i, near) in near.iter_mut().enumerate() {
            near.retain(|(_, j)| groups[*j] != groups[i]);
            near.truncate(k);
        }
        // A large group may use up all spare neighbours. Its images are compared again, only with images of other
        // groups.
        let mut large: Vec<&Vec<usize>> = members.values().filter(|m| m.len() > SPARE).collect();
        large.sort();
        for group in large {
            let others: Vec<usize> = (0..n).filter(|&i| groups[i] != groups[group[0]]).collect();
            let take = |rows: &[usize]| -> Vec<f32> {
                rows.iter().flat_map(|&i| features[i * width..][..width].iter().copied()).collect()
            };
            let found = nearest_of(self, &take(&others), &take(group), width, k.min(others.len()))?;
            for (&i, found) in group.iter().zip(found) {
                near[i] = found.into_iter().map(|(cos, j)| (cos, others[j])).collect();
            }
        }
        Ok(near)
    }
}

/// Whose features are compared.
fn features_of(weights: &Path) -> String {
    format!("the features of the backbone in {}", weights.display())
}

/// What belongs together: images of one patient, and images that are alike. A number for each image.
fn groups(data: &DecodedData, alike: &Alike) -> Vec<usize> {
    let places = places(data);
    let mut joined = Joined::new(places.len());
    let mut patients: HashMap<&str, usize> = HashMap::new();
    for (i, (split, at)) in places.iter().enumerate() {
        let part = data.parts[*split as usize].as_ref();
        if let Some(patient) = part.and_then(|p| p.groups.get(*at)?.as_deref()) {
            joined.join(i, *patients.entry(patient).or_insert(i), 1.0);
        }
    }
    for set in &alike.sets {
        set.images.iter().for_each(|m| joined.join(set.images[0].index, m.index, 1.0));
    }
    (0..places.len()).map(|i| joined.root(i)).collect()
}

/// Rows of `width` numbers, scaled so that each column has mean 0 and standard deviation 1. A constant column becomes
/// 0.
fn standardized(rows: &[f32], width: usize) -> Vec<f32> {
    let n = (rows.len() / width.max(1)).max(1) as f64;
    let (mut sums, mut squares) = (vec![0f64; width], vec![0f64; width]);
    for row in rows.chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
    }
    let means: Vec<f64> = sums.iter().map(|s| s / n).collect();
    for row in rows.chunks_exact(width) {
        squares.iter_mut().zip(row).zip(&means).for_each(|((s, v), m)| *s += (f64::from(*v) - m).powi(2));
    }
    let scale: Vec<f64> = squares.iter().zip(&means).map(|(s, m)| spread((s / n).sqrt(), *m)).collect();
    let one = |(at, v): (usize, &f32)| ((f64::from(*v) - means[at % width]) * scale[at % width]) as f32;
    rows.iter().enumerate().map(one).collect()
}

/// The factor that scales a column.
fn spread(deviation: f64, mean: f64) -> f64 {
    if deviation > 1e-6 * (1.0 + mean.abs()) { 1.0 / deviation } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::study::testing::with_job;
    use std::sync::atomic::AtomicBool;

    const SPEC: &str = "phantom:covid?train=12&val=9&test=9";

    fn wish(neighbours: usize) -> AuditWish {
        AuditWish { labels: None, folds: 2, neighbours: Some(neighbours), seed: 3, embed: Wish::default() }
    }

    #[test]
    fn an_audit_that_is_stopped_says_that_nothing_is_written() {
        with_job("", &Silent, |job| {
            let stop = AtomicBool::new(true);
            let job = Job { stop: &stop, kernels: job.kernels.clone(), ..*job };
            let said = job.audit(SPEC, None, &wish(3)).err().unwrap().to_string();
            assert!(said.contains("nothing is written") && !said.contains("checkpoint"), "{said}");
        });
    }

    #[test]
    fn few_votes_leave_the_distances_to_the_nearest_ten_and_the_summary_says_what_it_is_of() {
        with_job("", &Silent, |job| {
            let [few, all] = [1, 29].map(|k| job.audit(SPEC, None, &wish(k)).unwrap());
            let said = job.audit(SPEC, None, &wish(30)).err().unwrap().to_string();
            assert!(said.contains("--neighbours is 30") && said.contains("use 1 to 29"), "{said}");
            let usual = job.audit(SPEC, None, &AuditWish { neighbours: None, ..wish(1) }).unwrap();
            assert_eq!(usual.summary.neighbours, all.summary.neighbours, "of {VOTERS} as many as there are");
            let near = few.near.iter().map(Vec::len);
            assert!(near.clone().all(|n| n == NEAREST), "{:?}", near.collect::<Vec<_>>());
            assert!(few.summary.off_topic_above > 0.0);
            assert_eq!(few.summary.off_topic_above, all.summary.off_topic_above);
            // A single neighbour votes for one class only. All neighbours together never do.
            let whole = |a: &Audit| a.rows.iter().filter_map(|r| r.neighbours).all(|v| v.abs() == 1.0);
            assert!(whole(&few) && !whole(&all));
            assert_eq!(few.summary.neighbours, 1);
            assert!((NEAREST..30).contains(&all.summary.neighbours), "{}", all.summary.neighbours);
            assert_eq!((few.summary.seed, few.summary.wgslab), (3, env!("CARGO_PKG_VERSION")));
            assert!(few.summary.weights_sha256.is_none() && few.summary.left_out.is_empty());
            let other = job.audit("phantom:covid?train=15&val=9&test=9", None, &wish(1)).unwrap();
            assert_eq!(few.summary.data_fingerprint, all.summary.data_fingerprint);
            assert_ne!(few.summary.data_fingerprint, other.summary.data_fingerprint);
            // Of images that stream, an audit says the same.
            let mut config = job.config.clone();
            config.data.resident_bytes = 0;
            let streamed = Job { config: &config, kernels: job.kernels.clone(), ..*job };
            let streamed = streamed.audit(SPEC, None, &wish(1)).unwrap();
            assert_eq!(format!("{:?}", streamed.rows), format!("{:?}", few.rows));
            assert_eq!((streamed.near, streamed.embedded.features), (few.near, few.embedded.features));
        });
    }
}
