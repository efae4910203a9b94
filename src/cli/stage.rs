//! `wgslab pretrain`, `train` and `evaluate`: one stage of one cell, on any data.

use super::data::which_images;
use super::options::{Options, config};
use super::output::{print, print_json, print_source, results, size, table, temporary};
use crate::base::text::counted;
use crate::base::{Error, Result};
use crate::data::Split;
use crate::nn::listed::Entry;
use crate::noise::NoiseKind;
use crate::noise::learn::{self, Learner};
use crate::ssl::{self, Method};
use crate::study::evaluate::{Evaluation, evaluate_file, evaluate_run};
use crate::study::kept_config;
use crate::study::{Beginning, Brought, Config, Planned, PretrainOptions};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use std::path::{Path, PathBuf};

/// The largest seed: what a config can hold.
pub(super) const LARGEST_SEED: u64 = i64::MAX as u64;

/// Learn a backbone from images without labels
///
/// Trains a backbone on the training images of SPEC. It never reads their labels. Writes
/// OUT/backbone.safetensors with torchvision's parameter names, OUT/state.safetensors with every
/// tensor, and the losses of each step and epoch. Ctrl-C saves and stops; the same command goes on.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab pretrain --data phantom:covid --out runs/backbone
  wgslab pretrain --data phantom:covid --out runs/three --init runs/start/state.safetensors --steps 3
  wgslab pretrain --data phantom:covid --plan
  wgslab pretrain --data pneumoniamnist_28.npz --data-root data --out runs/p \\
      --config configs/study/pneumonia.toml"
)]
pub(super) struct Pretrain {
    #[arg(long, value_name = "SPEC", help = which_images())]
    data: String,
    /// The folder to write
    #[arg(long, value_name = "DIR", required_unless_present = "plan")]
    out: Option<PathBuf>,
    /// Print the device memory that it needs and the largest batch that fits, and train nothing. It is an error if it does
    /// not fit
    #[arg(long, conflicts_with_all = ["weights", "init", "init_partial", "steps"])]
    plan: bool,
    /// A config for sizes, model and training; its datasets and grid are not read [default: the built-in one]
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// The pretraining method [default: the first method of the config that pretrains]
    #[arg(long, value_parser = methods())]
    method: Option<String>,
    /// The seed of weights, batches and augmentation
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=LARGEST_SEED))]
    seed: u64,
    /// A backbone to start from, as for `wgslab train`; all else is random [default: the config's pretraining.init]
    #[arg(long, value_name = "FILE.safetensors")]
    weights: Option<PathBuf>,
    /// Start every tensor from FILE: backbone, heads, teacher, generator, statistics, and the optimizer's if FILE holds
    /// them. It may be the state.safetensors of another run. A missing or an unknown name is an error
    #[arg(long, value_name = "FILE.safetensors", conflicts_with = "weights")]
    init: Option<PathBuf>,
    /// Let --init FILE lack tensors, which then are random, and hold unknown ones, which are left out
    #[arg(long, requires = "init")]
    init_partial: bool,
    /// End after N steps: the first N of the whole run, whose learning rates they have. The folder is then done; the whole
    /// run begins anew in another
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
}

/// Train a classifier, from random or given weights, on clean or wrong labels
///
/// Trains on the training images of SPEC, tests on its clean test images, and writes one run
/// folder: result.json, epochs.jsonl, steps.jsonl, labels.csv and the weights. Ctrl-C saves and stops; the
/// same command goes on.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab train --data phantom:covid --out runs/clean
  wgslab train --data phantom:covid --out runs/noisy --noise-rate 0.4 \\
      --weights runs/backbone/backbone.safetensors
  wgslab train --data phantom:covid --out runs/elr --noise-rate 0.4 --method elr
  wgslab train --data phantom:covid --plan"
)]
pub(super) struct Train {
    #[arg(long, value_name = "SPEC", help = which_images())]
    data: String,
    /// The folder to write
    #[arg(long, value_name = "DIR", required_unless_present = "plan")]
    out: Option<PathBuf>,
    /// Print the device memory that it needs and the largest batch that fits, and train nothing. It is an error if it does
    /// not fit
    #[arg(long, conflicts_with = "weights")]
    plan: bool,
    /// A backbone to start from: safetensors, or a .pt or .pth of PyTorch, with torchvision's or timm's names. Values of
    /// BF16, F16 and F64 are converted, and a prefix that all names share is removed [default: random weights]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Keep the classifier of --weights, whose classes must be those of SPEC [default: a new one]
    #[arg(long, requires = "weights")]
    keep_classifier: bool,
    /// The training method; `[training.METHOD]` in --config has its settings [default: the config's first]
    #[arg(long, value_parser = learners())]
    method: Option<String>,
    /// How training labels go wrong; `[noise.KIND]` in --config has its settings
    #[arg(long, value_name = "KIND", default_value_t = NoiseKind::default(), value_parser = kinds())]
    noise_kind: NoiseKind,
    /// The share of training labels that go wrong, 0 to 1; a kind whose labels come from a file takes none [default: 0]
    #[arg(long, value_name = "R", value_parser = share)]
    noise_rate: Option<f64>,
    /// A config for sizes, model and training; its datasets and grid are not read [default: the built-in one]
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// The seed of noise, weights, batches and augmentation
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=LARGEST_SEED))]
    seed: u64,
}

/// Measure a trained classifier on any data
///
/// Loads the run folder that `train` or a study made, or a backbone.safetensors out of one, and
/// measures its classifier on one split of SPEC. Classes are matched by name, and must be among
/// those that it was trained on. With --run it writes only RUN/cache, the decoded images; with
/// --weights, nothing.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab evaluate --data phantom:covid --run runs/noisy
  wgslab evaluate --data phantom:covid --weights runs/noisy/backbone.safetensors
  wgslab evaluate --data other_hospital/ --run runs/noisy --split test --json"
)]
pub(super) struct Evaluate {
    #[arg(long, value_name = "SPEC", help = which_images())]
    data: String,
    /// The folder of a finished run
    #[arg(long, value_name = "DIR", required_unless_present = "weights", conflicts_with = "weights")]
    run: Option<PathBuf>,
    /// A file with a classifier that `train` wrote; it says its classes, its backbone and how its images are made
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Which images of SPEC: test, val or train
    #[arg(long, default_value = "test", value_parser = split)]
    split: Split,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The names of all pretraining methods, for the help and the check.
pub(super) fn methods() -> clap::builder::PossibleValuesParser {
    let one = |m: &'static Entry<dyn Method>| clap::builder::PossibleValue::new(m.name).help(m.about);
    ssl::methods().into_iter().map(one).collect::<Vec<_>>().into()
}

/// The names of all ways to learn from labels, for the help and the check.
fn learners() -> PossibleValuesParser {
    let one = |l: &'static Entry<dyn Learner>| PossibleValue::new(l.name).help(l.about);
    learn::learners().into_iter().map(one).collect::<Vec<_>>().into()
}

/// Reads the name of a noise kind. The help lists each with what it does.
pub(super) fn kinds() -> impl TypedValueParser<Value = NoiseKind> {
    let known = NoiseKind::all().map(|kind| PossibleValue::new(kind.name()).help(kind.about()));
    PossibleValuesParser::new(known).try_map(|name| name.parse::<NoiseKind>())
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|r| (0.0..=1.0).contains(r));
    share.ok_or_else(|| "use a share from 0 to 1, as in 0.4".to_string())
}

fn split(text: &str) -> Result<Split, String> {
    Split::parse(text).ok_or_else(|| "use test, val or train".to_string())
}

/// What a stage would need, for people.
fn shown(planned: &Planned) -> String {
    let Planned { name, batch_key: key, batch, largest_batch, images, promise, .. } = planned;
    let parts = planned.micro_batch.as_ref().map_or(String::new(), |(key, n)| format!(", {n} at a time ({key})"));
    let fits = match images <= largest_batch {
        true => format!("Any {key} fits: a step takes at most the {} there are.", counted(*images, "training image")),
        false => format!("The largest {key} that fits is {largest_batch}."),
    };
    let from = match planned.streamed {
        true => {
            "The images stream from pages on disk, since they are more than data.resident_bytes, or than half of \
             --memory-budget: the device holds only those of a step, which count among the inputs."
        }
        false => "All images are held in memory and on the device.",
    };
    let mut rows = vec![vec!["device memory".to_string(), "bytes".to_string()]];
    rows.extend(promise.parts.iter().map(|(what, bytes)| vec![what.to_string(), size(*bytes)]));
    rows.push(vec!["at the peak".to_string(), size(promise.peak_bytes())]);
    let budget = planned.budget_bytes.map_or("no budget is set".to_string(), |b| format!("the budget is {}", size(b)));
    let ((largest, label), binding) = (&promise.largest, size(planned.binding_bytes));
    let largest = size(*largest);
    let again = match &planned.recomputed {
        Some(promise) => format!("With run.recompute = true it would be {} at the peak.", size(promise.peak_bytes())),
        None => "Values are computed again for the backward pass (run.recompute).".to_string(),
    };
    let step = counted(*batch, "image");
    format!(
        "{name}: {step} a step ({key}){parts}\n\n{}\n\n{from}\n{again}\nIt fits: {budget}.\n\
         The largest tensor is {largest} ({label}), and the adapter binds at most {binding}.\n\
         {fits}",
        table(&rows)
    )
}

impl Pretrain {
    pub fn run(&self, options: &Options) -> Result<()> {
        let config = config(self.config.as_deref())?;
        let method = self.method.as_deref().unwrap_or_else(|| config.pretraining.first());
        let beginning = match (&self.weights, &self.init) {
            (Some(path), _) => Beginning::Backbone(path),
            (None, Some(path)) => Beginning::State { path, partial: self.init_partial },
            (None, None) => Beginning::Config,
        };
        if let Some(path) = [&self.weights, &self.init].into_iter().flatten().find(|path| !path.is_file()) {
            return Err(Error::Data(format!("the weights {} are not there; check the path", path.display())));
        }
        let Some(out) = self.out.as_deref().filter(|_| !self.plan) else {
            return self.plan(options, &config, method);
        };
        let how = PretrainOptions { beginning, steps: self.steps };
        let path = options.job(&config, out, |job| job.pretrain(&self.data, method, self.seed, how))?;
        print_source(&path.display().to_string())
    }

    /// Without --out the decoded images are cached in a temporary folder.
    fn plan(&self, options: &Options, config: &Config, method: &str) -> Result<()> {
        let folder = temporary()?;
        let out = self.out.as_deref().unwrap_or(folder.path());
        print(&shown(&options.job(config, out, |job| job.plan_pretraining(&self.data, method, self.seed))?))
    }
}

impl Train {
    pub fn run(&self, options: &Options) -> Result<()> {
        let mut config = config(self.config.as_deref())?;
        if let Some(method) = &self.method {
            config.training.methods = vec![method.clone()];
        }
        let weights = self.weights.as_deref();
        if let Some(missing) = weights.filter(|w| !w.is_file()) {
            return Err(Error::Data(format!("the weights {} are not there; check the path", missing.display())));
        }
        let weights = weights.map(|path| Brought { path, keep_classifier: self.keep_classifier });
        let noise = (self.noise_kind, self.noise_rate);
        let Some(out) = self.out.as_deref().filter(|_| !self.plan) else {
            let folder = temporary()?; // for the decoded images
            let out = self.out.as_deref().unwrap_or(folder.path());
            return print(&shown(&options.job(&config, out, |job| job.plan_training(&self.data, noise, self.seed))?));
        };
        let result = options.job(&config, out, |job| job.train(&self.data, weights, noise, self.seed))?;
        print(&format!("{}\n\n{}", results(&[result]), out.display()))
    }
}

impl Evaluate {
    pub fn run(&self, options: &Options) -> Result<()> {
        let found = match (&self.run, &self.weights) {
            (Some(run), _) => self.of_run(options, run)?,
            (None, Some(weights)) => self.of_file(options, weights)?,
            (None, None) => return Err(Error::Usage("evaluate needs --run or --weights".into())),
        };
        if self.json {
            return print_json(&found);
        }
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        print(&format!(
            "{}, {}: accuracy {}, balanced accuracy {}, macro F1 {}, AUROC {}, nearest neighbours {}, weighted {}",
            counted(found.images, &format!("{} image", self.split.name())),
            if found.classes == 1 { "1 class".to_string() } else { format!("{} classes", found.classes) },
            percent(found.accuracy),
            percent(found.balanced_accuracy),
            percent(found.macro_f1),
            found.auroc.map_or("none".to_string(), |a| format!("{a:.3}")),
            found.knn_accuracy.map_or("none".to_string(), percent),
            found.knn_weighted_accuracy.map_or("none".to_string(), percent)
        ))
    }

    fn of_run(&self, options: &Options, run: &Path) -> Result<Evaluation> {
        // The run's own config: a classifier fits only the sizes that it was trained with.
        if !run.join("config.toml").is_file() {
            let run = run.display();
            return Err(Error::Data(format!("{run} is no run: it has no config.toml; give a folder `train` made")));
        }
        let config = kept_config(run)?;
        options.job(&config, run, |job| evaluate_run(job, &self.data, self.split, run))
    }

    fn of_file(&self, options: &Options, weights: &Path) -> Result<Evaluation> {
        let folder = temporary()?; // for the decoded images
        options.job(&config(None)?, folder.path(), |job| evaluate_file(job, &self.data, self.split, weights))
    }
}
