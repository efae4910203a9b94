//! `wgslab export step`.

use super::data::which_images;
use super::options::Options;
use super::output::{expect_writable, print, temporary};
use super::stage::{LARGEST_SEED, methods};
use crate::base::{Error, Result, files};
use crate::lab::export::train;
use crate::nn::backbone;
use crate::study::Config;
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::path::PathBuf;

/// A small pretraining, for any GPU.
const BROWSER: &str = include_str!("../../configs/browser.toml");

/// Write a page that trains a network in a browser
///
/// Records the step of a pretraining for any GPU and writes DIR/index.html: one file with kernels,
/// first weights and images in it, which a current browser opens from disk or from any server. It
/// trains on the visitor's GPU, with the batches and views of `wgslab pretrain`, shows the losses, what
/// the network sees and the accuracy of nearest neighbours before and after, and gives the weights as
/// safetensors. No request leaves it. Trains nothing here.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab export step --out page                    then open page/index.html
  wgslab export step --model resnet50 --data pneumoniamnist_28.npz --out page
  wgslab export step configs/smoke.toml --method byol --out page"
)]
pub(super) struct ExportStep {
    /// A config for sizes, model and training [default: configs/browser.toml, built in: a narrow ResNet on generated
    /// images]
    #[arg(value_name = "CONFIG", conflicts_with = "model")]
    config: Option<PathBuf>,
    /// Without a config: the network
    #[arg(long, value_parser = PossibleValuesParser::new(backbone::names()))]
    model: Option<String>,
    #[arg(long, value_name = "SPEC", help = format!("{} [default: the config's first dataset]", which_images()))]
    data: Option<String>,
    /// The pretraining method [default: the first method of the config that pretrains]
    #[arg(long, value_parser = methods())]
    method: Option<String>,
    /// The seed of weights, batches and augmentation
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=LARGEST_SEED))]
    seed: u64,
    /// The folder for index.html
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl ExportStep {
    pub fn run(&self, options: &Options) -> Result<()> {
        let path = self.out.join("index.html");
        expect_writable(&[("--out", Some(&path))])?;
        if options.kernels.is_some() {
            let why = "and the page trains on its visitor's, with variants for any GPU; leave it out";
            return Err(Error::Usage(format!(
                "--kernels is a table of variants for an adapter of this machine, {why}"
            )));
        }
        let config = self.config()?;
        let Some(spec) = self.data.as_ref().or(config.data.specs.first()) else {
            return Err(Error::Usage("the config names no dataset; give one with --data".into()));
        };
        let method = self.method.as_deref().unwrap_or(config.pretraining.first());
        // Decoded images are cached in a temporary folder.
        let folder = temporary()?;
        let software = "it only makes the first weights, and the page trains on its visitor's GPU";
        let run = options.job_warning(software, &config, folder.path(), |job| job.portable(spec, method, self.seed))?;
        let (page, data) = (train::page(&run)?, run.bytes.len() / 1000);
        files::write_atomic(&path, page.as_bytes())?;
        print(&format!(
            "{}: {}, {} kB with {data} kB of images and weights packed in it; open it in a browser",
            path.display(),
            run.name,
            page.len() / 1000
        ))
    }

    /// The config, or the built-in one with the network that was asked for.
    fn config(&self) -> Result<Config> {
        match (&self.config, &self.model) {
            (Some(path), _) => Config::load(path),
            (None, None) => built_in(BROWSER),
            // A ResNet has a width, a ViT the size of its patches.
            (None, Some(arch)) => of_model(&format!("arch = {arch:?}\nwidth = 0.25\nstem = \"7x7\""))
                .or_else(|_| of_model(&format!("arch = {arch:?}\npatch_size = 4"))),
        }
    }
}

fn built_in(text: &str) -> Result<Config> {
    Config::parse("configs/browser.toml (built in)", text)
}

/// The built-in config with other keys in its table `[model]`.
fn of_model(keys: &str) -> Result<Config> {
    let parts = BROWSER.split_once("\n[model]\n").and_then(|(before, rest)| Some((before, rest.split_once("\n[")?.1)));
    let Some((before, after)) = parts else {
        return Err(Error::Failed("the built-in config has no [model] before another table".into()));
    };
    built_in(&format!("{before}\n[model]\n{keys}\n[{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        step: ExportStep,
    }

    #[test]
    fn the_built_in_config_takes_every_network() {
        let of = |words: &[&str]| {
            Line::parse_from([&["step", "--out", "page"], words].concat()).step.config().map(|c| c.model)
        };
        for arch in backbone::names() {
            assert_eq!(of(&["--model", arch]).unwrap().arch, arch);
        }
        let resnet = of(&["--model", "resnet18"]).unwrap();
        assert_eq!(of(&[]).unwrap(), resnet, "it is the default");
        let whole = built_in(BROWSER).unwrap();
        assert_eq!(whole.data.specs, of_model("width = 0.5").unwrap().data.specs);
        assert!(whole.data.specs[0].contains("train=1000") && whole.data.image_size == 32);
    }
}
