//! T1: training learns. The tests run the program's own jobs on real X-rays (fixture/README.md).

use crate::harness::{device, text};
use libtest_mimic::{Failed, Trial};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use wgslab::base::Result as BaseResult;
use wgslab::base::progress::Silent;
use wgslab::device::tune::Table;
use wgslab::noise::NoiseKind;
use wgslab::study::evaluate::knn_accuracy;
use wgslab::study::results::read_epochs;
use wgslab::study::{Config, Job, Shared};

/// 256 training images and 128 test images, half of each class.
const SPEC: &str = "pneumonia.npz";

/// Small enough for a software driver: the large stem leaves 7×7 of 28×28 pixels. Jitter is mild and there is no blur,
/// because brightness and texture are what distinguishes these two classes.
const CONFIG: &str = r#"
[data]
store_size = 28
image_size = 28

[model]
stem = "7x7"
width = 0.0625

[pretraining]
epochs = 16
batch_size = 64
warmup_epochs = 1
optimizer.lr = 0.003
simclr.temperature = 0.2
simclr.projection_dims = [64, 32]

[augmentation]
crop_scale = [0.3, 1.0]
jitter = [0.2, 0.2, 0.0, 0.0]
grayscale_probability = 0.0
blur_probability = 0.0

[training]
epochs = 8
batch_size = 32
optimizer.lr = 0.05
crop_scale = [0.8, 1.0]

[evaluation]
batch_size = 64
knn_neighbours = 20
"#;

/// The gain that SimCLR must have, as the mean of three seeds. Seen with these settings and two versions of the
/// kernels: 0.15 and 0.15; single seeds 0.02 to 0.26. The bound is a third of that, which is six of the 128 test
/// images. Another driver rounds differently, and over sixteen epochs the difference reaches the neighbours.
const GAIN: f64 = 0.05;

/// The trials.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(format!("T1 training {name}"), move || test().map_err(Failed::from))
    };
    vec![
        trial("SimCLR's neighbours beat those of random weights", simclr),
        trial("a classifier learns clean labels", classifier),
    ]
}

/// Runs `f` on a job that writes into a temporary folder.
fn with_job<T>(f: impl FnOnce(&Job<'_>) -> BaseResult<T>) -> Result<T, String> {
    let gpu = device::gpu(false)?;
    let config = Config::parse("training.rs", CONFIG).map_err(text)?;
    let out = tempfile::tempdir().map_err(|e| e.to_string())?;
    let data_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels-tests/fixture");
    let stop = AtomicBool::new(false);
    let job = Job {
        gpu: &gpu,
        config: &config,
        out: out.path(),
        data_root: &data_root,
        progress: &Silent,
        stop: &stop,
        kernels: Table::default(),
        shared: &Shared::default(),
    };
    f(&job).map_err(text)
}

/// Random weights are judged without training: batch norm in evaluation mode with running statistics of 0 and 1.
fn simclr() -> Result<(), String> {
    let mut pairs = Vec::new();
    for seed in 0..3 {
        pairs.push(with_job(|job| {
            let random = knn_accuracy(job, SPEC, None, seed)?;
            let backbone = job.pretrain(SPEC, "simclr", seed, Default::default())?;
            Ok((random, knn_accuracy(job, SPEC, Some(&backbone), seed)?))
        })?);
    }
    let gain = pairs.iter().map(|(random, learned)| learned - random).sum::<f64>() / pairs.len() as f64;
    println!("accuracy of random weights and of SimCLR's, one pair for each seed: {pairs:.3?}; mean gain {gain:.3}");
    if gain >= GAIN {
        return Ok(());
    }
    Err(format!("SimCLR gains {gain:.3} over random weights, but must gain {GAIN}; accuracies of each seed: {pairs:?}"))
}

/// Clean labels: the loss must fall, and the accuracy on two equal classes must be far above one half.
fn classifier() -> Result<(), String> {
    let (result, epochs) = with_job(|job| {
        let result = job.train(SPEC, None, (NoiseKind::default(), Some(0.0)), 0)?;
        Ok((result, read_epochs(job.out)?))
    })?;
    let (Some(first), Some(last)) = (epochs.first(), epochs.last()) else {
        return Err("the run recorded no epoch".into());
    };
    let (train, test) = (last.train_accuracy.unwrap_or(0.0), result.test_accuracy);
    println!("loss {:.3} to {:.3}, training accuracy {train:.3}, test accuracy {test:.3}", first.loss, last.loss);
    // Seen: 0.70 to 0.27, 0.90, 0.80.
    if last.loss < 0.7 * first.loss && train >= 0.75 && test >= 0.65 {
        return Ok(());
    }
    Err(format!(
        "the loss goes from {} to {} and must fall by 30 %; training accuracy is {train} and must be at least 0.75; \
         test accuracy is {test} and must be at least 0.65",
        first.loss, last.loss
    ))
}
