//! A study that is stopped anywhere and started again ends with the same bits as one that ran through. What ends a
//! study early gives its reason and leaves the last checkpoint.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]
#![cfg(unix)] // signals

mod common;

use common::{adapter, alone, files, timeless, wgslab};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use wgslab::base::progress::{Progress, Silent};
use wgslab::base::{Error, Result, seal};
use wgslab::device::tune::Table;
use wgslab::device::{Gpu, GpuOptions};
use wgslab::study::{Config, Job, Manner, Selection, Shared};

/// The images of an epoch: of pretraining, which takes only whole batches, and of training, which keeps the last
/// partial batch.
const EPOCHS: [usize; 2] = [5 * 8, 5 * 8 + 4];

/// A study of a second or two for each stage. How often it saves and how often it reads the loss must not change a bit.
fn config(checkpoint_seconds: f64, loss_every: usize) -> String {
    format!(
        "name = \"Resume\"\n\
         [data]\nspecs = [\"phantom:covid?train=44&val=8&test=8\"]\nstore_size = 20\nimage_size = 16\n\
         [model]\nwidth = 0.125\n\
         [pretraining]\nmethods = [\"simclr\", \"none\"]\nepochs = 4\nbatch_size = 8\nwarmup_epochs = 1\n\
         simclr.projection_dims = [16, 8]\n\
         [noise]\nrates = [0.0, 0.4]\n\
         [training]\nepochs = 3\nbatch_size = 8\nlast_batch = \"keep\"\n\
         [evaluation]\nbatch_size = 8\n\
         [run]\ncheckpoint_seconds = {checkpoint_seconds}\nloss_every = {loss_every}\nsave_every_steps = 6\n"
    )
}

/// Saves after nearly every step.
fn often() -> String {
    config(0.01, 2)
}

/// The folder of the study that nothing interrupted.
fn uninterrupted() -> &'static Path {
    static DONE: OnceLock<TempDir> = OnceLock::new();
    let dir = DONE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("study.toml"), config(10.0, 3)).unwrap();
        let output = wgslab(dir.path(), &["study", "run", "study.toml", "--out", "out"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        dir
    });
    Box::leak(dir.path().join("out").into_boxed_path())
}

/// Compares `out`, which may hold only part of the cells, with the uninterrupted study. The files and their bytes must
/// be the same, except for times.
#[track_caller]
fn same_as_uninterrupted(out: &Path, cells: Selection) {
    let (mut got, mut due) = (files(out), files(uninterrupted()));
    if cells != Selection::All {
        got.remove("results.csv"); // it has a row for each cell
        got.remove("report/missing.csv"); // it names the other cells
        due.retain(|name, _| got.contains_key(name));
    }
    assert_eq!(got.keys().collect::<Vec<_>>(), due.keys().collect::<Vec<_>>());
    assert!(due.len() > 25 && due.keys().any(|k| k.ends_with("/labels.csv")));
    for (name, bytes) in &got {
        let (got, due) = (timeless(name, bytes), timeless(name, &due[name]));
        assert!(got == due, "{name} differs");
    }
}

/// The first file whose path below `out` has this start and end.
fn find(out: &Path, start: &str, end: &str) -> Option<PathBuf> {
    let folder = out.join(start);
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    entries.map(|e| e.into_path()).find(|p| p.to_string_lossy().ends_with(end))
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

struct Running {
    child: Child,
    said: PathBuf,
}

impl Running {
    fn start(dir: &Path) -> Running {
        let said = dir.join("stderr");
        let stderr = std::fs::File::create(&said).unwrap();
        let mut command = wgslab(dir, &["study", "run", "study.toml", "--out", "out"]);
        Running { child: command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap(), said }
    }

    /// Waits until `moment` is true. The process must not end first.
    #[track_caller]
    fn wait_for(&mut self, what: &str, mut moment: impl FnMut() -> bool) {
        let patience = Instant::now() + Duration::from_secs(300);
        while !moment() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < patience, "{what} never came: {ended:?}, {}", self.said());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // a failed test leaves no process behind
        let _ = self.child.wait();
    }
}

/// Where stages went on, in images done.
fn went_on_at(said: &str) -> Vec<usize> {
    let places = said.lines().filter_map(|l| l.split_once(": goes on at ")).map(|(_, rest)| rest);
    places.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_study_stopped_anywhere_ends_with_the_same_bits() {
    if !adapter("a_study_stopped_anywhere_ends_with_the_same_bits") {
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::write(dir.path().join("study.toml"), often()).unwrap();
    let state = "state.safetensors";
    let first = "runs/phantom-covid__simclr__clean__cross_entropy__seed-0";
    let second = "runs/phantom-covid__simclr__symmetric-0.4__cross_entropy__seed-0";
    // The signal to send, and the file whose change is the moment to send it.
    let blows = [
        ("KILL", "pretraining", state),
        ("INT", "pretraining", state),
        ("KILL", "pretraining", state),
        ("KILL", "pretraining", "done"),
        ("TERM", first, state),
        ("KILL", first, state),
        ("KILL", first, "result.json"),
        ("KILL", second, "labels.csv"),
        ("KILL", second, state),
    ];
    let mut places = Vec::new();
    for (signal, place, file) in blows {
        let before = find(&out, place, file).and_then(|p| changed(&p));
        let mut run = Running::start(dir.path());
        let moment = || find(&out, place, file).and_then(|p| changed(&p)).is_some_and(|now| before != Some(now));
        run.wait_for(&format!("{signal} at {place}/{file}"), moment);
        run.signal(signal);
        let (code, said) = (run.end(), run.said());
        places.extend(went_on_at(&said));
        if signal != "KILL" {
            assert_eq!(code, Some(75), "{said}");
            assert!(said.contains("the same command goes on"), "{said}");
        } else {
            assert_eq!(code, None, "it ended before the kill: {said}");
        }
    }
    let mut run = Running::start(dir.path());
    assert_eq!(run.end(), Some(0), "{}", run.said());
    places.extend(went_on_at(&run.said()));
    let within = |p: &usize| EPOCHS.iter().all(|epoch| !p.is_multiple_of(*epoch));
    assert!(places.iter().any(within), "no resume began within an epoch: {places:?}");
    same_as_uninterrupted(&out, Selection::All);
}

#[test]
fn a_folder_belongs_to_one_config_and_adapter() {
    if !adapter("a_folder_belongs_to_one_config_and_adapter") {
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let out = uninterrupted();
    let before = files(out);
    let refused = |what: &str, change: &dyn Fn(&mut Command)| {
        let mut command = wgslab(dir.path(), &["study", "run", "other.toml", "--out", out.to_str().unwrap()]);
        change(&mut command);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("was made with another {what}")) && said.contains("--out"), "{said}");
        assert!(files(out) == before, "something was written: {said}");
    };
    std::fs::write(dir.path().join("other.toml"), often().replace("[training]\nepochs = 3", "[training]\nepochs = 2"))
        .unwrap();
    refused("config", &|_| ());
    // Mesa's software adapter says its vector width in its name.
    std::fs::write(dir.path().join("other.toml"), often().replace("\"simclr\", ", "")).unwrap();
    let narrow = |c: &mut Command| {
        c.env("LP_NATIVE_VECTOR_WIDTH", "128");
    };
    let mut devices = wgslab(dir.path(), &["devices", "--json"]);
    let name =
        |c: &mut Command| serde_json::from_slice::<Value>(&c.output().unwrap().stdout).unwrap()[0]["name"].clone();
    let wide = name(&mut devices);
    narrow(&mut devices);
    if name(&mut devices) != wide {
        refused("adapter or driver", &narrow);
    }
}

#[test]
fn a_run_of_other_kernels_does_not_go_on() {
    if !adapter("a_run_of_other_kernels_does_not_go_on") {
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let write = |settings: &str| std::fs::write(dir.path().join("small.toml"), config(10.0, 3) + settings).unwrap();
    let train = || {
        let words = ["train", "--data", "phantom:covid?train=16&val=4&test=4", "--out", "o", "--config", "small.toml"];
        let output = wgslab(dir.path(), &words).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    write("");
    assert_eq!(train().0, Some(0));
    // A setting that training does not read may change.
    write("[augmentation]\nblur_probability = 0.25\n");
    let (code, said) = train();
    assert_eq!(code, Some(0), "{said}");
    // Makes the run look as if a shader had been edited since: the kernels then have another hash, and the run another
    // address.
    let path = dir.path().join("o/environment.json");
    let mut made: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    made["kernels"] = "0123456789abcdef".into();
    made["address"] = "0123456789abcdef".into();
    seal::write(&path, &made).unwrap();
    let done = dir.path().join("o/done");
    let mut finished: Value = serde_json::from_slice(&std::fs::read(&done).unwrap()).unwrap();
    finished["address"] = "0123456789abcdef".into();
    seal::write(&done, &finished).unwrap();
    let (code, said) = train();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("o was made with another text of the kernels") && said.contains("shaders/"), "{said}");
}

#[test]
fn a_second_process_waits_or_is_sent_away() {
    if !adapter("a_second_process_waits_or_is_sent_away") {
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    // The study has only pretraining, so that there is no other cell for the second process.
    let text = often().replace("epochs = 4", "epochs = 400").replace("\"simclr\", \"none\"", "\"simclr\"");
    std::fs::write(dir.path().join("study.toml"), text).unwrap();
    let mut run = Running::start(dir.path());
    run.wait_for("the first checkpoint", || find(&out, "pretraining", "state.safetensors").is_some());
    let words = ["study", "run", "study.toml", "--out", "out", "--no-wait"];
    let output = wgslab(dir.path(), &words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("another process works in"), "{said}");
    // Without --no-wait the second process waits, and a stop ends its wait.
    let elsewhere = tempfile::tempdir().unwrap();
    let stderr = elsewhere.path().join("stderr");
    let second = wgslab(dir.path(), &words[..5]).stderr(std::fs::File::create(&stderr).unwrap()).spawn().unwrap();
    let mut second = Running { child: second, said: stderr };
    let said = second.said.clone();
    second.wait_for("the wait", || {
        std::fs::read_to_string(&said).unwrap().contains("waiting for other processes: 2 cells left")
    });
    second.signal("TERM");
    assert_eq!(second.end(), Some(75), "{}", second.said());
    assert!(run.child.try_wait().unwrap().is_none(), "the first process should go on: {}", run.said());
    run.signal("TERM");
    assert_eq!(run.end(), Some(75), "{}", run.said());
}

#[test]
fn four_shards_started_together_end_as_one_process_does() {
    if !adapter("four_shards_started_together_end_as_one_process_does") {
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::write(dir.path().join("study.toml"), often()).unwrap();
    let start = |i: usize| {
        let said = dir.path().join(format!("stderr-{i}"));
        let shard = format!("{i}/4");
        let mut command = wgslab(dir.path(), &["study", "run", "study.toml", "--out", "out", "--shard", &shard]);
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&said).unwrap());
        Running { child: command.spawn().unwrap(), said }
    };
    let shards: Vec<Running> = (1..=4).map(start).collect();
    for mut shard in shards {
        assert_eq!(shard.end(), Some(0), "{}", shard.said());
    }
    same_as_uninterrupted(&out, Selection::All);
}

/// Damages the device at a step of the first stage.
struct Trouble<'a> {
    at: usize,
    steps: AtomicUsize,
    make: &'a (dyn Fn() + Sync),
}

impl Progress for Trouble<'_> {
    fn stage(&self, _: &str, _: u64, _: u64, _: &'static str) {}

    fn step(&self, _: u64, note: &str) {
        if note.starts_with("epoch") && self.steps.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            (self.make)();
        }
    }

    fn done(&self, _: &str) {}
    fn note(&self, _: &str) {}
}

/// One pretraining and one training on it are enough for this.
const FIRST: Selection = Selection::Index(0);

fn run(gpu: &Gpu, out: &Path, progress: &dyn Progress) -> Result<()> {
    let config = Config::parse("study.toml", &often())?;
    let job = Job {
        gpu,
        config: &config,
        out,
        data_root: out,
        progress,
        stop: &AtomicBool::new(false),
        kernels: Table::default(),
        shared: &Shared::default(),
    };
    job.run(FIRST, Manner::default()).map(drop)
}

/// Runs a cell on a device that fails, checks the error, and completes the cell on a new device.
#[track_caller]
fn troubled(make: impl Fn(&Arc<Gpu>) + Sync, code: u8, names: &[&str]) {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let gpu = Arc::new(Gpu::open(&GpuOptions::default()).unwrap());
    let out = dir.path().join("out");
    let trouble = Trouble { at: 7, steps: AtomicUsize::new(0), make: &|| make(&gpu) };
    let error: Error = run(&gpu, &out, &trouble).unwrap_err();
    assert_eq!(error.exit_code(), code, "{error}");
    for name in names {
        assert!(error.to_string().contains(name), "{name} is not in: {error}");
    }
    let saved = find(&out, "pretraining", "state.safetensors").unwrap();
    let before = std::fs::read(&saved).unwrap();
    safetensors::SafeTensors::deserialize(&before).unwrap();
    drop(gpu);
    run(&Gpu::open(&GpuOptions::default()).unwrap(), &out, &Silent).unwrap();
    same_as_uninterrupted(&out, FIRST);
}

#[test]
fn a_lost_device_is_try_again_and_the_study_goes_on() {
    if !adapter("a_lost_device_is_try_again_and_the_study_goes_on") {
        return;
    }
    troubled(|gpu| gpu.lose(), 75, &["was lost", "the same command goes on"]);
}

#[test]
fn a_device_lost_by_another_thread_is_try_again() {
    if !adapter("a_device_lost_by_another_thread_is_try_again") {
        return;
    }
    // Loses the device at an arbitrary point of the work that follows.
    let lose_meanwhile = |gpu: &Arc<Gpu>| {
        let gpu = gpu.clone();
        std::thread::spawn(move || gpu.lose());
    };
    troubled(lose_meanwhile, 75, &["was lost"]);
}

#[test]
fn an_error_that_wgpu_reports_ends_the_run_with_it() {
    if !adapter("an_error_that_wgpu_reports_ends_the_run_with_it") {
        return;
    }
    let write_past_the_end = |gpu: &Arc<Gpu>| {
        let small = gpu.buffer("small", 16).unwrap();
        assert_eq!(gpu.write(&small, 64, &[0; 16]).unwrap_err().exit_code(), 1);
    };
    troubled(write_past_the_end, 1, &["wgpu reports an error", "overrunning"]);
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint() {
    if !adapter("a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint") {
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("study.toml"), often().replace("[training]\n", "[training]\noptimizer.lr = 1e30\n"))
        .unwrap();
    let words = ["train", "--data", "phantom:covid?train=40&val=8&test=8", "--out", "out", "--config", "study.toml"];
    let mut before = None;
    for _ in 0..2 {
        let output = wgslab(dir.path(), &words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the last checkpoint, from before it, is kept in out"), "{said}");
        assert!(said.contains("the loss of epoch 1, step ") && said.contains("lr"), "{said}");
        let saved = std::fs::read(dir.path().join("out/state.safetensors")).unwrap();
        for (name, view) in safetensors::SafeTensors::deserialize(&saved).unwrap().tensors() {
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            assert!(view.dtype() != safetensors::Dtype::F32 || values.into_iter().all(f32::is_finite), "{name}");
        }
        assert!(!dir.path().join("out/done").exists());
        assert!(before.replace(saved.clone()).is_none_or(|b| b == saved), "the same command fails the same way");
    }
}

/// A limit on the size of files stands for a full disk.
#[test]
fn a_full_disk_is_told_and_the_same_command_goes_on() {
    if !adapter("a_full_disk_is_told_and_the_same_command_goes_on") {
        return;
    }
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::write(dir.path().join("study.toml"), often()).unwrap();
    // A shell counts in blocks of 512 bytes. The limits leave no room for the config of the study, for a checkpoint, and
    // for the larger checkpoints.
    for (blocks, file) in [(1, "config.toml"), (128, "state.safetensors"), (2048, "state.safetensors")] {
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" study run study.toml --out out");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_wgslab")]).current_dir(dir.path());
        let output = command.stdout(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{blocks} blocks: {said}");
        let error = said
            .lines()
            .find(|l| l.starts_with("error: ") && !l.contains("XDG_RUNTIME_DIR"))
            .unwrap_or_else(|| panic!("{said}"));
        assert!(error.contains("make room, and the same command goes on"), "{error}");
        assert_eq!(error.matches(file).count(), 1, "{error}");
        let left = files(&out).into_keys().find(|name| name.contains(".wgslab-"));
        assert_eq!(left, None, "{blocks} blocks: a piece of a file is left");
    }
    let mut run = Running::start(dir.path());
    assert_eq!(run.end(), Some(0), "{}", run.said());
    same_as_uninterrupted(&out, Selection::All);
    // Gathering meets a full disk, too. What was there stays whole, and the same command makes it anew.
    let before = files(&out);
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$0\" study report out";
    let mut command = Command::new("/bin/sh");
    let output = command.args(["-c", limited, env!("CARGO_BIN_EXE_wgslab")]).current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("make room, and the same command goes on"), "{said}");
    assert!(files(&out) == before, "something of the report was changed");
    let output = wgslab(dir.path(), &["study", "report", "out"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // And so does a merge.
    let limited = "trap '' XFSZ; ulimit -f 128; exec \"$0\" study merge out --out merged";
    let mut command = Command::new("/bin/sh");
    let output = command.args(["-c", limited, env!("CARGO_BIN_EXE_wgslab")]).current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("make room, and the same command goes on"), "{said}");
    let output = wgslab(dir.path(), &["study", "merge", "out", "--out", "merged"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let table = |of: &str| std::fs::read(dir.path().join(of).join("results.csv")).unwrap();
    assert!(table("merged") == table("out"), "the merged table is another one");
}
