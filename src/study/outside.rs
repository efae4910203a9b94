//! What a person needs to check a pretraining from outside: any first state, the state after any step, the loss of each
//! step, and event files.

use super::results::{read_epochs, read_steps};
use super::start::Start;
use super::testing::{Heard, with_job};
use super::{Beginning, Brought, Config, Job, Manner, PretrainOptions, PretrainResult, Selection, StepRecord};
use crate::base::{Error, Progress};
use crate::device::tune::Table;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const DATA: &str = "phantom:covid?train=26&val=8&test=8";

/// Three epochs of three steps.
const CONFIG: &str = "[data]\nstore_size = 16\nimage_size = 16\n[model]\nwidth = 0.0625\n[pretraining]\nepochs = 3\n\
                      batch_size = 8\nwarmup_epochs = 1\nmoco.queue_size = 20\nmoco.batch_norm_splits = 2\n\
                      moco.projection_dims = [16, 8]\nsimclr.projection_dims = [16, 8]\n[run]\nloss_every = 2\n\
                      checkpoint_seconds = 1000\n";

/// Pretrains with `method` into `job.out/name`.
fn pretrain(
    job: &Job<'_>,
    name: &str,
    (method, seed): (&str, u64),
    how: PretrainOptions<'_>,
) -> Result<PathBuf, Error> {
    let out = job.out.join(name);
    let inner = Job { out: &out, kernels: Table::default(), ..*job };
    inner.pretrain(DATA, method, seed, how).map(|_| out)
}

/// Options that end a run after `steps` steps.
fn steps(steps: usize) -> PretrainOptions<'static> {
    PretrainOptions { steps: Some(steps), ..Default::default() }
}

/// The tensors of a file as bytes.
fn tensors(path: impl AsRef<Path>) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, t)| (name, t.data().to_vec())).collect()
}

/// Writes a copy of a file of tensors whose list was changed by `change`. As another program's file, it has no metadata
/// of this one.
fn rewritten(from: &Path, to: &Path, change: impl Fn(&mut Vec<(String, safetensors::tensor::TensorView<'_>)>)) {
    let bytes = std::fs::read(from).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    change(&mut tensors);
    std::fs::write(to, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

fn timeless(steps: Vec<StepRecord>) -> Vec<StepRecord> {
    steps.into_iter().map(|s| StepRecord { elapsed_s: 0.0, images_per_s: 0.0, ..s }).collect()
}

#[test]
fn every_tensor_of_a_stage_starts_from_a_file() {
    let heard = Heard::default();
    with_job(CONFIG, &heard, |job| {
        // The stage has a second network, a queue of features and running statistics.
        let moco = |name: &str, seed, how: PretrainOptions<'_>| pretrain(job, name, ("moco", seed), how);
        let first = moco("first", 0, steps(0)).unwrap().join("state.safetensors");
        let due = tensors(moco("due", 0, steps(2)).unwrap().join("state.safetensors"));
        let from = |path, partial, steps| PretrainOptions {
            beginning: Beginning::State { path, partial },
            steps: Some(steps),
        };
        // A run of seed 0 that starts from the first state of seed 0 is the same run. A run of another seed then starts
        // from the same state.
        let brought = moco("brought", 0, from(&first, false, 2)).unwrap();
        assert_eq!(tensors(brought.join("state.safetensors")), due);
        let other = moco("other", 1, from(&first, false, 0)).unwrap().join("state.safetensors");
        assert_eq!(tensors(&other), tensors(&first));
        assert_ne!(tensors(moco("seed 1", 1, steps(0)).unwrap().join("state.safetensors")), tensors(&first));
        // Parameters alone, as another program writes them, are enough. What an optimizer remembers begins at zero.
        let path = job.out.join("other.safetensors");
        rewritten(&first, &path, |all| all.retain(|t| !t.0.starts_with("optim.")));
        let brought = moco("parameters", 0, from(&path, false, 2)).unwrap();
        assert_eq!(tensors(brought.join("state.safetensors")), due);
        let said = |how| moco("refused", 0, how).unwrap_err().to_string();
        for (change, names) in [
            (0, "it lacks queue (F32 [20, 8]); --init-partial"),
            (1, "it holds stranger, which the stage does not have; --init-partial leaves it out"),
            (2, "queue is F32 [8] there and F32 [20, 8] in the stage"),
        ] {
            rewritten(&first, &path, |all| {
                let bias = all.iter().find(|t| t.0 == "projection.2.bias").unwrap().1.clone();
                let queue = all.iter().position(|t| t.0 == "queue").unwrap();
                match change {
                    0 => drop(all.remove(queue)),
                    1 => all.push(("stranger".to_string(), bias)),
                    _ => all[queue].1 = bias,
                }
            });
            let e = said(from(&path, false, 1));
            assert!(e.contains(names) && e.contains("other.safetensors"), "{e}");
            assert!(!job.out.join("refused/done").exists());
            let partial = moco(&format!("partial {change}"), 0, from(&path, true, 0));
            assert_eq!(partial.is_ok(), change < 2, "{partial:?}");
            if let Ok(out) = partial {
                assert_eq!(tensors(out.join("state.safetensors")), tensors(&first), "the queue is drawn from the seed");
            }
        }
        assert!(heard.lines().iter().any(|l| l.contains("1 are missing") && l.contains("such as queue")));
        // The same folder with another start is another run.
        assert!(moco("brought", 0, steps(2)).unwrap_err().to_string().contains("another backbone to start from"));
    });
}

/// The first state of a pretraining with this beginning.
fn first(job: &Job<'_>, name: &str, seed: u64, beginning: Beginning<'_>) -> BTreeMap<String, Vec<u8>> {
    let out = pretrain(job, name, ("moco", seed), PretrainOptions { beginning, steps: Some(0) }).unwrap();
    tensors(out.join("state.safetensors"))
}

#[test]
fn a_pretraining_starts_from_a_backbone_that_is_brought() {
    with_job(CONFIG, &Heard::default(), |job| {
        let own = first(job, "own", 0, Beginning::Config);
        let backbone = job.out.join("own/backbone.safetensors");
        let by_option = first(job, "option", 1, Beginning::Backbone(&backbone));
        // The path in a config is relative to the data root.
        let config =
            Config::parse("t", &CONFIG.replace("epochs = 3", "init = \"own/backbone.safetensors\"\nepochs = 3"));
        let inner = Job { config: &config.unwrap(), kernels: Table::default(), ..*job };
        let by_config = first(&inner, "config", 1, Beginning::Config);
        assert_eq!(by_option, by_config);
        for (name, bytes) in &by_option {
            let of_backbone = name.contains("backbone.");
            assert!(!of_backbone || *bytes == own[name], "{name} of the network and of its copy");
        }
        assert_ne!(by_option["projection.2.weight"], own["projection.2.weight"]);
        let wide = Config::parse("t", &CONFIG.replace("width = 0.0625", "width = 0.125")).unwrap();
        let inner = Job { config: &wide, kernels: Table::default(), ..*job };
        let how = PretrainOptions { beginning: Beginning::Backbone(&backbone), steps: Some(0) };
        let e = pretrain(&inner, "wide", ("moco", 0), how).unwrap_err();
        let due = "backbone.safetensors holds a backbone resnet18 × 0.0625";
        assert!(e.exit_code() == 4 && e.to_string().contains(due) && e.to_string().contains("× 0.125"), "{e}");
        assert!(!job.out.join("wide/state.safetensors").exists());
        let missing = Config::parse("t", &CONFIG.replace("epochs = 3", "init = \"gone.safetensors\"\nepochs = 3"));
        let inner = Job { config: &missing.unwrap(), kernels: Table::default(), ..*job };
        let e = pretrain(&inner, "gone", ("moco", 0), steps(0)).unwrap_err();
        assert!(e.exit_code() == 4 && e.to_string().contains("gone.safetensors"), "{e}");
    });
}

#[test]
fn the_first_steps_are_those_of_the_whole_run_and_states_are_kept() {
    let text = CONFIG.to_string() + "save_every_steps = 4\n";
    with_job(&text, &Heard::default(), |job| {
        let whole = pretrain(job, "whole", ("simclr", 0), PretrainOptions::default()).unwrap();
        let cut = pretrain(job, "cut", ("simclr", 0), steps(4)).unwrap();
        // The run ends within the second epoch, with the rates of a run of three epochs.
        assert_eq!(tensors(cut.join("state.safetensors")), tensors(whole.join("state_000004.safetensors")));
        assert_eq!(tensors(cut.join("state.safetensors")), tensors(cut.join("state_000004.safetensors")));
        assert!(whole.join("state_000008.safetensors").exists() && !cut.join("state_000008.safetensors").exists());
        let (all, _) = read_steps(&whole, 9).unwrap();
        let (some, text) = read_steps(&cut, 4).unwrap();
        assert_eq!(timeless(all[..4].to_vec()), timeless(some));
        assert_eq!(std::fs::read_to_string(cut.join("steps.jsonl")).unwrap(), text, "and no more");
        assert_eq!(all.iter().map(|s| (s.step, s.epoch)).nth(4), Some((5, 2)));
        // The loss of an epoch is the mean of its steps' losses.
        let epochs = read_epochs(&whole).unwrap();
        let mean = all[3..6].iter().map(|s| s.loss).sum::<f64>() / 3.0;
        assert!(epochs.len() == 3 && (epochs[1].loss - mean).abs() < 1e-12, "{epochs:?}");
        assert_eq!(read_epochs(&cut).unwrap().len(), 1, "whole epochs alone");
        assert!(all.iter().all(|s| s.images_per_s > 0.0 && !s.skipped) && epochs[1].lr == all[5].lr);
        // A finished run is not started again, and a run with another number of steps is another run.
        pretrain(job, "cut", ("simclr", 0), steps(4)).unwrap();
        assert!(pretrain(job, "cut", ("simclr", 0), steps(5)).unwrap_err().to_string().contains("another config"));
        // PyTorch's batch norm counts the steps, too.
        let count = &tensors(cut.join("backbone.safetensors"))["bn1.num_batches_tracked"];
        assert_eq!(count[..], 4i64.to_le_bytes());
    });
}

/// Raises the flag when the second step is reported.
struct Second<'a>(&'a AtomicBool, AtomicBool);

impl Progress for Second<'_> {
    fn stage(&self, _: &str, _: u64, _: u64, _: &'static str) {}
    fn step(&self, _: u64, note: &str) {
        if note.starts_with("epoch") && self.1.swap(true, Ordering::SeqCst) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    fn done(&self, _: &str) {}
    fn note(&self, _: &str) {}
}

/// The lengths of the records in an event file. Each record must be whole.
fn lengths(path: &Path) -> Vec<u64> {
    let (bytes, mut at, mut all) = (std::fs::read(path).unwrap(), 0, Vec::new());
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        at += 16 + length as usize;
        all.push(length);
    }
    assert_eq!(at, bytes.len());
    all
}

#[test]
fn a_run_that_went_on_tells_each_step_once() {
    with_job(CONFIG, &Heard::default(), |job| {
        let whole = pretrain(job, "whole", ("simclr", 0), PretrainOptions::default()).unwrap();
        let stop = AtomicBool::new(false);
        let progress = &Second(&stop, AtomicBool::new(false));
        let inner = Job { progress, stop: &stop, kernels: Table::default(), ..*job };
        pretrain(&inner, "parts", ("simclr", 0), PretrainOptions::default()).unwrap_err();
        // A kill leaves lines of steps after the checkpoint, and half a line.
        let path = job.out.join("parts/steps.jsonl");
        let mut text = std::fs::read_to_string(&path).unwrap();
        let stopped = text.lines().count();
        assert!((2..9).contains(&stopped), "{text}");
        text += &text.clone()[..text.len() / 2 + 20];
        std::fs::write(&path, text).unwrap();
        let parts = pretrain(job, "parts", ("simclr", 0), PretrainOptions::default()).unwrap();
        let read = |out: &Path| timeless(read_steps(out, 9).unwrap().0);
        assert_eq!(read(&parts), read(&whole));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 9);
        // One record for the beginning, nine steps and three epochs.
        let events = |out: &Path| lengths(&out.join("events.out.tfevents.wgslab"));
        assert_eq!(events(&parts).len(), 13);
        assert_eq!(events(&parts), events(&whole));
        // A missing step, or a step of another run, counts as damage.
        let inner = Job { progress, stop: &stop, kernels: Table::default(), ..*job };
        let again = |change: &dyn Fn(&str) -> String| {
            let dir = tempfile::tempdir().unwrap();
            progress.1.store(false, Ordering::SeqCst);
            stop.store(false, Ordering::SeqCst);
            let inner = Job { out: dir.path(), kernels: Table::default(), ..inner };
            pretrain(&inner, "x", ("simclr", 0), PretrainOptions::default()).unwrap_err();
            let path = dir.path().join("x/steps.jsonl");
            std::fs::write(&path, change(&std::fs::read_to_string(&path).unwrap())).unwrap();
            stop.store(false, Ordering::SeqCst);
            let silent = Heard::default();
            let inner = Job { progress: &silent, kernels: Table::default(), ..inner };
            pretrain(&inner, "x", ("simclr", 0), PretrainOptions::default()).unwrap_err().to_string()
        };
        let of_seed_1 = pretrain(job, "seed 1", ("simclr", 1), PretrainOptions::default()).unwrap();
        let other = std::fs::read_to_string(of_seed_1.join("steps.jsonl")).unwrap();
        for (change, names) in [
            (
                &(|text: &str| text[text.find('\n').unwrap() + 1..].to_string()) as &dyn Fn(&str) -> String,
                "line 1: it is of step 2",
            ),
            (&|text: &str| text[..text.find('\n').unwrap() + 1].to_string(), "it holds 1 step, and 3 are done"),
            (&|text: &str| text.replace("0.", "1."), "its checksum differs"),
            (&|_: &str| other.clone(), "it does not hold the steps that the checkpoint stands on"),
        ] {
            let e = again(change);
            assert!(e.contains("steps.jsonl is damaged") && e.contains(names), "{e}");
        }
    });
}

#[test]
fn a_collapsed_pretraining_says_so_everywhere_and_a_healthy_one_does_not() {
    let heard = Heard::default();
    let text = format!(
        "{CONFIG}[pretraining.test_constant]\nepochs = 14\n[noise]\nrates = [0.0]\n[training]\nepochs = 1\nbatch_size = 8\n"
    );
    let text = text.replace("[data]\n", &format!("[data]\nspecs = [{DATA:?}]\n"));
    let text = text.replace("[pretraining]\n", "[pretraining]\nmethods = [\"simclr\", \"test_constant\"]\n");
    with_job(&text, &heard, |job| {
        let results = job.run(Selection::All, Manner::default()).unwrap().results;
        let of = |method: &str| results.iter().find(|r| r.pretraining == method).unwrap();
        assert_eq!(of("simclr").pretraining_collapsed, Some(false));
        assert_eq!(of("test_constant").pretraining_collapsed, Some(true));
        for entry in std::fs::read_dir(job.out.join("pretraining")).unwrap() {
            let folder = entry.unwrap().path();
            let result = std::fs::read_to_string(folder.join("result.json")).unwrap();
            let result: PretrainResult = serde_json::from_str(&result).unwrap();
            let epochs = read_epochs(&folder).unwrap();
            let last = epochs.last().unwrap();
            let got = (last.collapsed, last.feature_std, last.effective_rank);
            assert_eq!(got, (Some(result.collapsed), Some(result.feature_std), Some(result.effective_rank)));
            let collapsed = result.method == "test_constant";
            assert_eq!(result.collapsed, collapsed, "{result:?}");
            assert!(collapsed || epochs.iter().all(|e| e.collapsed == Some(false)), "{epochs:?}");
            assert!(epochs.iter().any(|e| e.collapsed == Some(false)), "it is no longer healthy: {epochs:?}");
            // A person who brings the backbone elsewhere is told, too.
            let start = Start::given(Brought { path: &folder.join("backbone.safetensors"), keep_classifier: false });
            assert_eq!(start.unwrap().collapsed, collapsed.then_some(true));
        }
        let warned = heard.lines().into_iter().filter(|l| l.contains("has collapsed")).collect::<Vec<_>>();
        let of_it = |l: &String| l.starts_with("warning: pretrain test_constant");
        assert!(!warned.is_empty() && warned.len() < 5 && warned.iter().all(of_it), "{warned:?}");
        let page = std::fs::read_to_string(job.out.join("report.html")).unwrap();
        let told = page.split("Collapsed in pretraining").nth(1).unwrap();
        assert!(told.contains("features that are to be zero for every image on phantom-covid, seed 0"));
        assert!(!page.contains("SimCLR on phantom-covid, seed 0"));
        let csv = std::fs::read_to_string(job.out.join("results.csv")).unwrap();
        assert!(csv.lines().next().unwrap().contains("pretraining_collapsed"));
    });
}
