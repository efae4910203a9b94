//! Summarizes what a dataset holds, as text and as JSON.

use crate::base::Result;
use crate::base::progress::{Progress, Silent};
use crate::base::text::{CELL, counted, distinct};
use crate::data::alike::{Alike, alike, looks_at, places};
use crate::data::decode::PixelForm;
use crate::data::{DecodedData, LeftOut, LoadOptions, Need, Split, left_out, read, split};
use crate::tape::demand;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// One split as the files have it.
#[derive(Clone, Debug, Serialize)]
pub struct SplitSummary {
    /// The name: train, val or test.
    pub split: &'static str,
    /// The number of images.
    pub images: usize,
    /// The number of images of each class, in the order of the classes.
    pub per_class: Vec<usize>,
    /// The number of patients, or of other groups. None where none is known.
    pub patients: Option<usize>,
    /// Images whose patient nobody named, although those of others are. None where no patient is known.
    pub without_patient: Option<usize>,
    /// How files store their pixels, the most frequent first.
    pub pixel_forms: Vec<FormCount>,
}

/// The number of images whose files store their pixels in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FormCount {
    /// gray, gray with alpha, RGB, RGBA, CMYK or palette.
    pub mode: &'static str,
    /// Bits of a sample that count.
    pub bits: u32,
    /// Whether they are floating-point numbers.
    pub float: bool,
    /// The number of images.
    pub images: usize,
}

/// The number of images of one size.
#[derive(Clone, Debug, Serialize)]
pub struct SizeCount {
    /// Columns before resizing.
    pub width: u32,
    /// Rows before resizing.
    pub height: u32,
    /// The number of images.
    pub images: usize,
}

/// Exact duplicates: equal size and pixels before resizing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Training images that are also in test.
    pub train_in_test: usize,
    /// Training images that are also in val.
    pub train_in_val: usize,
    /// Validation images that are also in test.
    pub val_in_test: usize,
    /// Images of train that repeat an earlier one.
    pub within_train: usize,
    /// Images of val that repeat an earlier one.
    pub within_val: usize,
    /// Images of test that repeat an earlier one.
    pub within_test: usize,
    /// Images that have a copy with another label in any split.
    pub with_another_label: usize,
}

/// The result of [`inspect`]. Counts are of the files as they are, before duplicates are dropped.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// A short name.
    pub name: String,
    /// Class names.
    pub classes: Vec<String>,
    /// Splits that the files have.
    pub splits: Vec<SplitSummary>,
    /// Sizes before resizing, the most frequent first.
    pub image_sizes: Vec<SizeCount>,
    /// Rows and columns as stored.
    pub store_size: usize,
    /// Channels as stored.
    pub channels: usize,
    /// Bytes of all images as stored.
    pub decoded_bytes: u64,
    /// Whether a run would stream them from pages on disk, by `data.resident_bytes`.
    pub streamed: bool,
    /// Mean of train by channel, in [0, 1].
    pub mean: Vec<f32>,
    /// Standard deviation of train by channel, in [0, 1].
    pub std: Vec<f32>,
    /// Exact duplicates.
    pub duplicates: Duplicates,
    /// Images that are alike: exact and near duplicates.
    pub alike: Alike,
    /// Files that cannot be decoded, each with its reason.
    pub unreadable: Vec<String>,
    /// How many files of each ending are not read.
    pub unread: BTreeMap<String, usize>,
    /// The content address of the dataset as loaded, if it can be loaded.
    pub fingerprint: Option<String>,
    /// Why it cannot be loaded, or what loading changes.
    pub notes: Vec<String>,
}

/// Reads the data of `spec` and summarizes it, even if it could not be trained on.
pub fn inspect(spec: &str, options: &LoadOptions) -> Result<Summary> {
    inspect_beside(spec, options, &Silent, |_, _| Ok(()))
}

/// The same; `progress` is told how far it is, and `look` is shown the images and which of them are alike. Files are decoded
/// and not taken from the cache, which does not know how they store their pixels.
pub fn inspect_beside(
    spec: &str,
    options: &LoadOptions,
    progress: &dyn Progress,
    look: impl FnOnce(&DecodedData, &Alike) -> Result<()>,
) -> Result<Summary> {
    let options = &LoadOptions { cache: None, ..options.clone() };
    progress.stage(&format!("load {spec}"), 0, 0, "images");
    let (source, _) = read(spec, options, None, &|done, _| progress.step(done as u64, ""))?;
    progress.stage("look for images that are alike", looks_at(places(&source).len()), 0, "looks");
    let alike = alike(&source, &|done| {
        progress.step(done, "");
        Ok(())
    })?;
    let (mean, std) = source.parts[0].as_ref().map(|p| p.images.statistics()).transpose()?.unwrap_or_default();
    let mut summary = Summary {
        name: source.name.clone(),
        classes: source.classes.clone(),
        splits: splits(&source),
        image_sizes: sizes(&source),
        store_size: options.store_size,
        channels: options.channels,
        decoded_bytes: source.parts_with_images().map(|(_, images)| (images.len() * images.stride()) as u64).sum(),
        streamed: source.parts_with_images().any(|(_, images)| images.pages().is_some()),
        mean,
        std,
        duplicates: duplicates(&source),
        alike,
        unreadable: source.unreadable.iter().map(LeftOut::to_string).collect(),
        unread: source.unread.clone(),
        fingerprint: None,
        notes: source.notes.clone(),
    };
    look(&source, &summary.alike)?;
    let carved = source.parts[Split::Val as usize].is_none();
    if let Err(e) = left_out::check(&source, options) {
        summary.notes.push(format!("it cannot be loaded: {e}"));
        return Ok(summary);
    }
    match split::assemble(source, options, Need::Training) {
        Err(e) => summary.notes.push(format!("it cannot be loaded: {e}")),
        Ok(data) => {
            if carved {
                let (n, seed) = (data.val.len(), options.seed);
                summary.notes.push(format!(
                    "no val split: loading cuts {} from train by class (seed {seed})",
                    counted(n, "image")
                ));
            }
            if data.dropped_duplicates > 0 {
                let n = data.dropped_duplicates;
                summary.notes.push(format!(
                    "loading drops {} of train and val, since a later split has the same",
                    counted(n, "image")
                ));
            }
            summary.notes.extend(data.warnings);
            summary.fingerprint = Some(data.fingerprint);
        }
    }
    Ok(summary)
}

fn splits(source: &DecodedData) -> Vec<SplitSummary> {
    let known = source.parts.iter().flatten().any(|p| p.groups.iter().any(Option::is_some));
    let one = |(split, part): (Split, &Option<crate::data::Part>)| {
        let images = &part.as_ref()?.images;
        let per_class = images.class_counts(source.classes.len());
        let groups: HashSet<&String> = part.as_ref()?.groups.iter().flatten().collect();
        let patients = (!groups.is_empty()).then_some(groups.len());
        let named = part.as_ref()?.groups.iter().flatten().count();
        let without_patient = known.then(|| images.len() - named);
        let pixel_forms = forms(&source.forms[split as usize]);
        Some(SplitSummary {
            split: split.name(),
            images: images.len(),
            per_class,
            patients,
            without_patient,
            pixel_forms,
        })
    };
    Split::ALL.into_iter().zip(&source.parts).filter_map(one).collect()
}

fn forms(counts: &BTreeMap<PixelForm, usize>) -> Vec<FormCount> {
    let one = |(form, &images): (&PixelForm, &usize)| {
        let PixelForm { mode, bits, float } = *form;
        FormCount { mode: mode.name(), bits, float, images }
    };
    let mut forms: Vec<FormCount> = counts.iter().map(one).collect();
    forms.sort_by_key(|f| std::cmp::Reverse(f.images));
    forms
}

/// The forms of all splits together, for people: "gray 8-bit (120), RGB 16-bit (3)".
fn told_forms(splits: &[SplitSummary]) -> String {
    let mut all: BTreeMap<String, usize> = BTreeMap::new();
    for f in splits.iter().flat_map(|s| &s.pixel_forms) {
        let float = if f.float { " float" } else { "" };
        *all.entry(format!("{} {}-bit{float}", f.mode, f.bits)).or_insert(0) += f.images;
    }
    let mut all: Vec<(String, usize)> = all.into_iter().collect();
    all.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    all.iter().map(|(form, n)| format!("{form} ({n})")).collect::<Vec<_>>().join(", ")
}

fn sizes(source: &DecodedData) -> Vec<SizeCount> {
    let mut counts = BTreeMap::new();
    for origin in source.parts.iter().flatten().flat_map(|p| &p.origins) {
        *counts.entry((origin.width, origin.height)).or_insert(0) += 1;
    }
    let mut sizes: Vec<SizeCount> =
        counts.into_iter().map(|((width, height), images)| SizeCount { width, height, images }).collect();
    sizes.sort_by_key(|s| std::cmp::Reverse(s.images));
    sizes
}

fn duplicates(source: &DecodedData) -> Duplicates {
    let digests = source
        .parts
        .each_ref()
        .map(|part| part.as_ref().map(|p| p.origins.iter().map(|o| o.digest).collect::<Vec<_>>()).unwrap_or_default());
    let sets = digests.each_ref().map(|d| d.iter().copied().collect::<HashSet<_>>());
    let shared = |a: Split, b: Split| digests[a as usize].iter().filter(|d| sets[b as usize].contains(*d)).count();
    let within = |s: Split| digests[s as usize].len() - sets[s as usize].len();
    let mut labels: HashMap<[u8; 16], HashSet<u32>> = HashMap::new();
    for part in source.parts.iter().flatten() {
        for (origin, &label) in part.origins.iter().zip(&part.images.labels) {
            labels.entry(origin.digest).or_default().insert(label);
        }
    }
    Duplicates {
        train_in_test: shared(Split::Train, Split::Test),
        train_in_val: shared(Split::Train, Split::Val),
        val_in_test: shared(Split::Val, Split::Test),
        within_train: within(Split::Train),
        within_val: within(Split::Val),
        within_test: within(Split::Test),
        with_another_label: digests.iter().flatten().filter(|d| labels.get(*d).is_some_and(|l| l.len() > 1)).count(),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_classes(f)?;
        self.fmt_images(f)?;
        self.fmt_copies(f)?;
        writeln!(f, "unreadable files: {}", self.unreadable.len())?;
        self.unreadable.iter().try_for_each(|u| writeln!(f, "  {u}"))?;
        let unread: Vec<String> = self.unread.iter().map(|(ending, n)| format!("{n} {ending}")).collect();
        let of = if unread.is_empty() { String::new() } else { format!(" ({})", unread.join(", ")) };
        writeln!(f, "files not read: {}{of}", self.unread.values().sum::<usize>())?;
        self.notes.iter().try_for_each(|n| writeln!(f, "note: {n}"))?;
        write!(f, "fingerprint: {}", self.fingerprint.as_deref().unwrap_or("none"))
    }
}

impl Summary {
    /// How many images each class has in each split.
    fn fmt_classes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = if self.classes.len() == 1 { "class" } else { "classes" };
        writeln!(f, "{}: {} {classes}", self.name, self.classes.len())?;
        // A name is shortened before the width of its column is computed, because a file may hold a name of megabytes.
        let classes: Vec<String> = self.classes.iter().map(|c| distinct(c, CELL)).collect();
        let width = classes.iter().map(|c| c.chars().count()).max().unwrap_or(0).max(6);
        write!(f, "  {:width$}", "class")?;
        self.splits.iter().try_for_each(|s| write!(f, "  {:>7}", s.split))?;
        writeln!(f)?;
        for (i, class) in classes.iter().enumerate() {
            write!(f, "  {class:width$}")?;
            self.splits.iter().try_for_each(|s| write!(f, "  {:>7}", s.per_class[i]))?;
            writeln!(f)?;
        }
        write!(f, "  {:width$}", "images")?;
        self.splits.iter().try_for_each(|s| write!(f, "  {:>7}", s.images))?;
        writeln!(f)
    }

    /// What the images are, as the files have them and as they are stored.
    fn fmt_images(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<_> =
            self.image_sizes.iter().take(5).map(|s| format!("{}×{} ({})", s.width, s.height, s.images)).collect();
        let more = self.image_sizes.len().saturating_sub(5);
        let size = self.store_size;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        writeln!(
            f,
            "sizes: {}{more}; stored {size}×{size} with {}",
            sizes.join(", "),
            counted(self.channels, "channel")
        )?;
        let forms = told_forms(&self.splits);
        if !forms.is_empty() {
            writeln!(f, "pixels: {forms}")?;
        }
        let unknown: Vec<String> = self
            .splits
            .iter()
            .filter_map(|s| Some((s, s.without_patient.filter(|n| *n > 0)?)))
            .map(|(s, n)| format!("{n} of {} in {}", s.images, s.split))
            .collect();
        if !unknown.is_empty() {
            writeln!(
                f,
                "images whose patient is not known: {}; each counts as a patient of its own",
                unknown.join(", ")
            )?;
        }
        let kept = if self.streamed { "streamed from pages on disk" } else { "held in memory and on the device" };
        writeln!(f, "decoded: {}, {kept} (data.resident_bytes)", demand::size(self.decoded_bytes))?;
        writeln!(f, "train mean {:.4?}, standard deviation {:.4?}", self.mean, self.std)
    }

    /// Which images are there more than once.
    fn fmt_copies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &self.duplicates;
        writeln!(
            f,
            "exact duplicates: train in test {}, train in val {}, val in test {}; within train {}, val {}, test {}; with another label {}",
            d.train_in_test,
            d.train_in_val,
            d.val_in_test,
            d.within_train,
            d.within_val,
            d.within_test,
            d.with_another_label
        )?;
        let a = &self.alike;
        writeln!(
            f,
            "alike, near duplicates and exact ones: {} in {} ({} without an exact copy); train in test {}, train in val {}, val in test {}; with another label {}",
            counted(a.images, "image"),
            counted(a.sets.len(), "set"),
            a.near_only,
            a.train_in_test,
            a.train_in_val,
            a.val_in_test,
            a.with_another_label
        )
    }
}
