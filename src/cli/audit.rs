//! `wgslab audit`: labels that are probably wrong.

use super::data::which_images;
use super::embed::Size;
use super::options::{Options, config};
use super::output::{expect_writable, print, print_json, print_source, table, temporary};
use super::stage::LARGEST_SEED;
use crate::base::text::counted;
use crate::base::{Error, Result, files};
use crate::study::audit::{AuditSummary, AuditWish};
use crate::study::embed::Wish;
use clap::Args;
use std::path::PathBuf;

/// Find labels that are probably wrong
///
/// Judges every label of SPEC, of all its splits, by images that did not learn from it, and writes a
/// CSV with a row for each image, the most suspicious first: its label, the likely one, whether it is
/// counted as wrong, and its scores. A linear classifier on features learns the labels of all folds
/// but one and gives the probabilities of that one (confident learning, Northcutt et al. 2021, counts
/// how many labels are wrong); the nearest images vote; and the loss is taken over folds and weight
/// decays. The rank is by the probability of the label that classifier and neighbours give together;
/// how much each counts is learnt from all labels. Images of one patient, and images that are alike,
/// never judge each other. --json and --page also list images that are there twice, that are close in
/// features, and that are far from all others.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab audit --data my_images/ --weights runs/backbone/backbone.safetensors --out suspects.csv
  wgslab audit --data my.csv --column noisy_label --out suspects.csv
  wgslab audit --data 'phantom:covid?train=60&val=20&test=20' --out suspects.csv --page suspects.html"
)]
pub(super) struct Audit {
    #[arg(long, value_name = "SPEC", help = which_images())]
    data: String,
    /// Judge the labels of this column or array instead of SPEC's own: of --given-labels, or of the CSV manifest that SPEC is
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// A .csv or .npz with the labels by name of image, as `noise.given.file` names one
    #[arg(long, value_name = "FILE", requires = "column")]
    given_labels: Option<String>,
    /// A backbone whose features are compared, as for `wgslab embed` [default: none, and gradients and colours are
    /// compared, which find fewer]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// A config for how images are read: of its [data] `bit_depth`, `max_pixels`, `max_bytes` and `strict` [default: the
    /// built-in one]
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// The CSV to write
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Write a page of the most suspicious images beside their nearest neighbours, with the lists
    #[arg(long, value_name = "FILE.html")]
    page: Option<PathBuf>,
    /// How many images of each list the page shows
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    page_images: u32,
    /// Write the features that were compared, as `wgslab embed` does
    #[arg(long, value_name = "FILE.npz")]
    features: Option<PathBuf>,
    /// How many folds there are: the classifier learns from all but one
    #[arg(long, value_name = "N", default_value_t = 5)]
    folds: usize,
    /// How many neighbours vote, fewer than there are images [default: 50, or as many as there are]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    neighbours: Option<u32>,
    /// What draws the folds
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=LARGEST_SEED))]
    seed: u64,
    /// Side in pixels of the square that images are resized to for the backbone [default: as for `wgslab embed`]
    #[arg(long, value_name = "N", requires = "weights")]
    image_size: Option<Size>,
    /// Images in a step of the backbone; fewer if they do not fit the device
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Print the summary and the lists as JSON
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub fn run(&self, options: &Options) -> Result<()> {
        let page = self.page.as_deref();
        let features = self.features.as_deref();
        let weights = self.weights.as_deref();
        expect_writable(&[
            ("--out", Some(&self.out)),
            ("--page", page),
            ("--features", features),
            ("--weights", weights),
            ("--config", self.config.as_deref()),
        ])?;
        if let Some(weights) = weights.filter(|w| !w.is_file()) {
            return Err(Error::Data(format!("the weights {} are not there; check the path", weights.display())));
        }
        let embed = Wish { image_size: self.image_size.map(|s| s.0), batch: self.batch as usize, ..Wish::default() };
        let labels = self.column.clone().map(|column| [self.given_labels.clone().unwrap_or_default(), column]);
        let neighbours = self.neighbours.map(|n| n as usize);
        let wish = AuditWish { labels, folds: self.folds, neighbours, seed: self.seed, embed };
        let folder = temporary()?;
        let work = |job: &crate::study::Job<'_>| job.audit(&self.data, weights, &wish);
        let found = options.job(&config(self.config.as_deref())?, folder.path(), work)?;
        if let Some(path) = page {
            files::write_atomic(path, found.page(self.page_images as usize)?.as_bytes())?;
        }
        if let Some(path) = features {
            files::write_atomic(path, &found.embedded.npz()?)?;
        }
        found.write(&self.out)?;
        if self.json {
            return print_json(&found.summary);
        }
        print(&format!("{}\n", shown(&found.summary)))?;
        print_source(&self.out.display().to_string())?;
        page.map_or(Ok(()), |path| print_source(&path.display().to_string()))
    }
}

/// The summary for people.
fn shown(s: &AuditSummary) -> String {
    let head = ["class", "images", "probably wrong", "share"].map(String::from).to_vec();
    let row = |class: &str, images: usize, wrong: usize| {
        let share = format!("{:.1} %", 100.0 * wrong as f64 / images.max(1) as f64);
        vec![class.to_string(), images.to_string(), wrong.to_string(), share]
    };
    let classes = s.classes.iter().map(|c| row(&c.class, c.images, c.probably_wrong));
    let all = row("all", s.images, s.probably_wrong);
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(classes).chain([all]).collect();
    let a = &s.alike;
    let judged = match s.not_judged {
        0 => String::new(),
        n => format!("\nnot judged, since no other fold has their class: {n}"),
    };
    format!(
        "{}\n\nthe classifier agrees with {:.0} % of the labels; the weaker it is, the more right labels are counted as wrong\nalike: {} in {} ({} without an exact copy); with another label {}; train in test {}, train in val \
         {}, val in test {}\nclose in features: {}\noff topic: {}{judged}",
        table(&rows),
        100.0 * s.agreement,
        counted(a.images, "image"),
        counted(a.sets.len(), "set"),
        a.near_only,
        a.with_another_label,
        a.train_in_test,
        a.train_in_val,
        a.val_in_test,
        counted(s.close.len(), "pair"),
        counted(s.off_topic.len(), "image")
    )
}
