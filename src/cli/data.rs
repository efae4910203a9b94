//! `wgslab data inspect` and `data views`.

use super::listener::Listener;
use super::options::{Options, config};
use super::output::{expect_writable, print, print_json, print_source, temporary};
use super::stage::{LARGEST_SEED, methods};
use crate::base::text::{NAME, distinct};
use crate::base::{Error, Result, files};
use crate::data::{LoadOptions, Paging, Summary, inspect_beside, layout};
use crate::study::Job;
use crate::study::audit::{CloseInFeatures, alike_page};
use crate::study::embed::Wish;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Look at data
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(super) struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Subcommand, Debug)]
enum DataCommand {
    Inspect(Inspect),
    Views(Views),
}

/// Show the views that a pretraining method makes of images
///
/// Writes a PNG with a row for each image: the image as the network would see it without
/// augmentation, then each view as the method's network sees it in the first step of an epoch. A
/// pretraining of the same config and seed sees the same.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab data views phantom:covid --method simclr --out views.png
  wgslab data views pneumoniamnist_28.npz --data-root data --method jigsaw --out v.png --npz v.npz"
)]
struct Views {
    /// Which data
    spec: String,
    /// The method whose views are shown [default: the first method of the config that pretrains]
    #[arg(long, value_parser = methods())]
    method: Option<String>,
    /// The PNG to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write the numbers, too: indices, mean, std, stored, images, view0, view1 and so on, and what
    /// was drawn for each view, such as view0_crop and view0_flip (docs/study.md lists them)
    #[arg(long, value_name = "FILE")]
    npz: Option<PathBuf>,
    /// A config for sizes, augmentation and the method's settings [default: the built-in one]
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// The seed of the pretraining
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=LARGEST_SEED))]
    seed: u64,
    /// Which epoch, from 1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    epoch: u32,
    /// How many images
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    images: u32,
}

impl Views {
    fn run(&self, options: &Options) -> Result<()> {
        expect_writable(&[("--out", Some(&self.out)), ("--npz", self.npz.as_deref())])?;
        let config = config(self.config.as_deref())?;
        let method = self.method.as_deref().unwrap_or_else(|| config.pretraining.first());
        // The decoded images are not kept, because nothing is trained on them.
        let nowhere = temporary()?;
        let at = (self.seed, self.epoch as usize - 1);
        let views = |job: &Job<'_>| job.views(&self.spec, method, at, self.images as usize);
        let sheet = options.job(&config, nowhere.path(), views)?;
        files::write_atomic(&self.out, &sheet.png()?)?;
        if let Some(path) = &self.npz {
            files::write_atomic(path, &sheet.npz()?)?;
        }
        print_source(&self.out.display().to_string())
    }
}

/// Say what a dataset holds and whether it can be trained on
///
/// Decodes every image and prints classes, splits, sizes, how pixels are stored (gray or colours, bits),
/// statistics, exact and near duplicates across and within the splits, images whose patient is not
/// known, and files that cannot be read. Needs no adapter without --weights, and writes nothing but a
/// page. Near duplicates: brighter, sharper or compressed again, not turned or mirrored. It counts
/// what is left out: files by ending, hidden folders, and masks (folders called masks below a class
/// folder, and X_mask beside X). The exit code is 4 if a study could not load the data as it is. A
/// set without train can be used only for an evaluation, and the output says so.
///
/// Pictures are PNG, JPEG, TIFF, BMP, WebP, GIF and DICOM, of several frames the first. Files that cannot be decoded are
/// named with the reason and left out; more than a tenth of a split, or all of a class in a split, is an error, and with
/// --strict any is.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = examples_and_specs()
)]
struct Inspect {
    /// Which data
    spec: String,
    /// A config whose [data] says how images are read and stored; the options below come before it [default: the built-in
    /// one]
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also list pairs that are close in the features of this backbone, as for `wgslab embed`, and not alike by their
    /// pixels: turned, mirrored and cut copies may be among them. Needs an adapter
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Write a page of the images that are alike: several labels first, then several splits
    #[arg(long, value_name = "FILE.html")]
    page: Option<PathBuf>,
    /// How many sets of images the page shows
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    page_sets: u32,
    /// Side in pixels of the square that images are resized to [default: the config's]
    #[arg(long, value_name = "N")]
    store_size: Option<usize>,
    /// 1 gray or 3 RGB [default: the config's]
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// The most pixels of one picture file [default: the config's]
    #[arg(long, value_name = "N")]
    max_pixels: Option<u64>,
    /// The most bytes of all decoded images [default: the config's]
    #[arg(long, value_name = "N")]
    max_bytes: Option<u64>,
    /// Bits that 16-bit picture files use [default: the config's]
    #[arg(long, value_name = "N")]
    bit_depth: Option<u32>,
}

/// The end of the help of `data inspect`.
fn examples_and_specs() -> String {
    let specs: String = layout::all().map(|l| format!("\n  {}", l.help)).collect();
    format!(
        "Examples:
  wgslab data inspect phantom:covid
  wgslab data inspect pneumoniamnist_28.npz --data-root data --json
  wgslab data inspect my_images/ --store-size 128 --channels 3
  wgslab data inspect my_images/ --weights runs/backbone/backbone.safetensors --page alike.html

SPEC is one of:{specs}"
    )
}

/// The help of `--data SPEC`.
pub(super) fn which_images() -> String {
    format!("Which images: {}", layout::forms())
}

impl Data {
    pub fn run(&self, options: &Options) -> Result<()> {
        match &self.command {
            DataCommand::Inspect(c) => c.run(options),
            DataCommand::Views(c) => c.run(options),
        }
    }
}

impl Inspect {
    fn run(&self, options: &Options) -> Result<()> {
        let read = [("--weights", self.weights.as_deref()), ("--config", self.config.as_deref())];
        expect_writable(&[&[("--page", self.page.as_deref())][..], &read].concat())?;
        let folder = temporary()?; // for pages of a set that memory is not to hold
        let load = self.load_options(options, folder.path())?;
        let close = self.weights.as_deref().map(|weights| self.close(options, weights, &load)).transpose()?;
        // Lines of progress would stand among those of the summary, so there is a bar or nothing.
        let listener = Listener::new(options.quiet || !std::io::stderr().is_terminal());
        let mut page = None;
        let summary = inspect_beside(&self.spec, &load, &listener, |data, alike| {
            let count = self.page_sets as usize;
            page = self.page.as_ref().map(|_| alike_page(data, alike, close.as_ref(), count)).transpose()?;
            Ok(())
        });
        listener.clear();
        let summary = summary?;
        if let (Some(path), Some(page)) = (&self.page, page) {
            files::write_atomic(path, page.as_bytes())?;
        }
        if self.json {
            print_json(&Inspected { summary: &summary, close_in_features: close.as_ref() })?
        } else {
            let close = close.map(|close| format!("\n{}", told(&close))).unwrap_or_default();
            print(&format!("{summary}{close}"))?
        };
        match summary.fingerprint {
            Some(_) => Ok(()),
            None => Err(unloadable(&self.spec, &summary)),
        }
    }

    /// How the images are read; `pages` is a folder for a set that memory is not to hold.
    fn load_options(&self, options: &Options, pages: &Path) -> Result<LoadOptions> {
        let base = config(self.config.as_deref())?.data;
        Ok(LoadOptions {
            data_root: options.data_root.clone(),
            store_size: self.store_size.unwrap_or(base.store_size),
            channels: self.channels.unwrap_or(base.channels),
            val_fraction: base.val_fraction as f32,
            seed: 0,
            max_pixels: self.max_pixels.unwrap_or(base.max_pixels),
            max_bytes: self.max_bytes.unwrap_or(base.max_bytes),
            bit_depth: self.bit_depth.unwrap_or(base.bit_depth),
            strict: options.strict || base.strict,
            cache: None,
            paging: Some(Paging { resident_bytes: base.resident_bytes, folder: pages.to_path_buf() }),
        })
    }

    /// Pairs that are close in the features of a backbone.
    fn close(&self, options: &Options, weights: &Path, load: &LoadOptions) -> Result<CloseInFeatures> {
        if !weights.is_file() {
            return Err(Error::Data(format!("the weights {} are not there; check the path", weights.display())));
        }
        let mut config = config(self.config.as_deref())?;
        let LoadOptions { max_pixels, max_bytes, bit_depth, .. } = *load;
        config.data = crate::study::config::Data { max_pixels, max_bytes, bit_depth, ..config.data };
        let folder = temporary()?;
        let embed = Wish { batch: BATCH, ..Wish::default() };
        options.job(&config, folder.path(), |job| job.close_in_features(&self.spec, weights, &embed))
    }
}

/// Images of a step of the backbone; fewer are taken where they do not fit the device.
const BATCH: usize = 32;

/// How many pairs the summary names; --json has all.
const NAMED: usize = 5;

/// What `data inspect --json` prints.
#[derive(Serialize)]
struct Inspected<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    close_in_features: Option<&'a CloseInFeatures>,
}

/// The pairs for people, the closest ones by name.
fn told(close: &CloseInFeatures) -> String {
    let mut text = close.told();
    for pair in close.pairs.iter().take(NAMED) {
        let (a, b) = (distinct(&pair.path, NAME), distinct(&pair.other, NAME));
        text += &format!("\n  {a} ({}) and {b} ({}), cosine {:.4}", pair.given, pair.other_given, pair.cosine);
    }
    text
}

/// Why a study could not load it, in one sentence.
fn unloadable(spec: &str, summary: &Summary) -> Error {
    let note = summary.notes.iter().find_map(|n| n.strip_prefix("it cannot be loaded"));
    Error::Data(format!("{spec} cannot be loaded{}", note.unwrap_or_default()))
}
