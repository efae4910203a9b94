//! `wgslab noise`.

use super::data::which_images;
use super::listener::Listener;
use super::options::{Options, config};
use super::output::{complain, expect_writable, print, table, temporary};
use super::stage::{LARGEST_SEED, kinds, share};
use crate::base::text::counted;
use crate::base::{Error, Progress, Result};
use crate::noise::NoiseKind;
use crate::study::noisy::{NoisyLabels, noisy_labels};
use crate::study::results::write_labels;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Make labels wrong
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(super) struct Noise {
    #[command(subcommand)]
    command: NoiseCommand,
}

#[derive(Subcommand, Debug)]
enum NoiseCommand {
    Apply(Apply),
}

/// Write the labels of a dataset after noise
///
/// Writes a row for each training image of SPEC to a CSV file: its name, its label, and the label
/// after noise. They are the labels that `wgslab train` with the same noise and seed learns from, so
/// that others can use them. With noise.validation = "noisy" in --config, rows for the validation
/// images follow, whose labels then get the same noise. Prints the share of wrong labels and what
/// became of each class. SPEC needs no test split, and the command no adapter.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab noise apply --data phantom:covid --noise-kind pair_flip --noise-rate 0.4 --out labels.csv
  wgslab noise apply --data my_images/ --noise-rate 0.2 --seed 3 --out labels.csv --config my.toml
      [noise.KIND] in my.toml has the settings of a kind, [data] those of the images"
)]
struct Apply {
    #[arg(long, value_name = "SPEC", help = which_images())]
    data: String,
    /// How labels go wrong; `[noise.KIND]` in --config has its settings
    #[arg(long, value_name = "KIND", default_value_t = NoiseKind::default(), value_parser = kinds())]
    noise_kind: NoiseKind,
    /// The noise rate, 0 to 1; its meaning depends on the kind. A kind whose labels come from a file takes none
    #[arg(long, value_name = "R", value_parser = share)]
    noise_rate: Option<f64>,
    /// The seed of the run; the noise follows it
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=LARGEST_SEED))]
    seed: u64,
    /// A config for the settings of data and noise [default: the built-in one]
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// The CSV file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Noise {
    pub fn run(&self, options: &Options) -> Result<()> {
        match &self.command {
            NoiseCommand::Apply(c) => c.run(options),
        }
    }
}

impl Apply {
    fn run(&self, options: &Options) -> Result<()> {
        let config = options.strictly(&config(self.config.as_deref())?);
        if self.noise_rate.is_none() && self.noise_kind.has_rate() {
            let kind = self.noise_kind;
            return Err(Error::Usage(format!(
                "the noise kind {kind} takes a rate: add --noise-rate, a share from 0 to 1"
            )));
        }
        expect_writable(&[("--out", Some(&self.out))])?;
        let listener = Listener::new(options.quiet);
        listener.stage(&format!("load {}", self.data), 0, 0, "images");
        let step = |done: usize, _| listener.step(done as u64, "");
        let noise = (self.noise_kind, self.noise_rate);
        let folder = temporary()?; // for pages of a set that memory is not to hold
        let data = (self.data.as_str(), options.data_root.as_path(), folder.path());
        let made = noisy_labels(&config, data, noise, self.seed, &step)?;
        made.warnings.iter().for_each(|w| complain(w));
        write_labels(&self.out, &made.rows)?;
        print(&self.report(&made))
    }

    fn report(&self, made: &NoisyLabels) -> String {
        let mut rows = vec![vec!["true class".to_string(), "images".to_string()]];
        rows[0].extend(made.classes.iter().map(|c| format!("→ {c}")));
        for (class, counts) in made.classes.iter().zip(&made.counts) {
            let all: u64 = counts.iter().sum();
            let shares = counts.iter().map(|&n| format!("{:.1} %", 100.0 * n as f64 / all.max(1) as f64));
            rows.push([class.clone(), all.to_string()].into_iter().chain(shares).collect());
        }
        let rate = self.noise_rate.map(|rate| format!(" at rate {rate}, seed {}", made.seed)).unwrap_or_default();
        let val = match made.val {
            0 => String::new(),
            n => format!(", {n} of them of validation images,"),
        };
        format!(
            "{}{rate}: {:.1} % of {}{val} are wrong\n\n{}\n\n{}",
            self.noise_kind,
            100.0 * made.realised_rate,
            counted(made.rows.len(), "label"),
            table(&rows),
            self.out.display()
        )
    }
}
