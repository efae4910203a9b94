//! A study on images that stream from pages comes to the bits of one on images that the device holds.

use super::super::embed::Wish;
use super::super::evaluate::knn_accuracy;
use super::super::names::{BACKBONE, LABELS, PREDICTIONS, PROJECTION, STATE};
use super::super::testing::{Heard, with_job};
use super::super::{Config, Job, Manner, Planned, Selection};
use crate::base::Progress;
use crate::base::progress::Silent;
use crate::data::testing::write_png;
use crate::device::tune::Table;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A method that sees its images in two orders, and one in micro-batches; a step of the images that do not fill a batch; a
/// learner with a table of all images; noise that looks at images.
const TEXT: &str = "[data]\nspecs = [\"phantom:covid?train=29&val=9&test=10\"]\nstore_size = 18\nimage_size = 16\n[model]\n\
    width = 0.0625\n[pretraining]\nmethods = [\"moco\", \"simclr\"]\nepochs = 1\nwarmup_epochs = 0\nbatch_size = 8\n\
    moco.queue_size = 16\nmoco.batch_norm_splits = 2\nmoco.projection_dims = [16, 8]\nsimclr.projection_dims = [16, 8]\n\
    simclr.micro_batch_size = 4\n[noise]\nkinds = [\"instance_dependent\"]\nrates = [0.3]\nvalidation = \"noisy\"\n[training]\n\
    methods = [\"elr\"]\nepochs = 1\nbatch_size = 11\nlast_batch = \"keep\"\n[evaluation]\nbatch_size = 9\n\
    protocols = [\"finetune\", \"linear\", \"knn\"]\nknn_neighbours = 5\n[run]\ncheckpoint_seconds = 1000\n";

fn streaming(text: &str) -> Config {
    let text = text.replacen("[data]\n", "[data]\nresident_bytes = 0\n", 1);
    Config::parse("t", &text).unwrap()
}

/// What a study came to, by the names of its files: bits, and numbers without times.
fn bits(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for part in ["runs", "pretraining"] {
        for run in std::fs::read_dir(out.join(part)).unwrap().map(|f| f.unwrap().path()) {
            for name in [BACKBONE, STATE, LABELS, PREDICTIONS, PROJECTION] {
                if let Ok(bytes) = std::fs::read(run.join(name)) {
                    all.insert(run.strip_prefix(out).unwrap().join(name), bytes);
                }
            }
        }
    }
    all
}

fn in_folder<'a>(job: &'a Job<'_>, out: &'a Path, config: &'a Config) -> Job<'a> {
    Job { out, config, kernels: Table::default(), ..*job }
}

/// Asks to stop once some images are loaded, and counts them.
struct Impatient<'a> {
    stop: &'a AtomicBool,
    loaded: AtomicUsize,
}

impl Progress for Impatient<'_> {
    fn stage(&self, _: &str, _: u64, _: u64, _: &'static str) {}

    fn step(&self, done: u64, _: &str) {
        self.loaded.store(done as usize, Ordering::SeqCst);
        if done > 0 {
            self.stop.store(true, Ordering::SeqCst);
        }
    }

    fn done(&self, _: &str) {}
    fn note(&self, _: &str) {}
}

#[test]
fn a_load_ends_where_a_signal_asks() {
    with_job("[data]\nstore_size = 8\nimage_size = 8\n", &Silent, |job| {
        for i in 0..400 {
            let split = ["train", "train", "val", "test"][i % 4];
            write_png(&job.data_root.join(format!("set/{split}/{}/{i}.png", i / 4 % 2)), i as u64, 9);
        }
        for spec in ["set", "phantom:covid?train=3000&val=9&test=9"] {
            let stop = AtomicBool::new(false);
            let impatient = Impatient { stop: &stop, loaded: AtomicUsize::new(0) };
            let job = Job { progress: &impatient, stop: &stop, kernels: Table::default(), ..*job };
            let e = job.load(spec).err().unwrap();
            assert!(e.exit_code() == 75 && e.to_string().contains("the same command goes on"), "{e}");
            let loaded = impatient.loaded.load(Ordering::SeqCst);
            assert!((1..3000).contains(&loaded) && (spec != "set" || loaded < 200), "{spec}: {loaded} were loaded");
            // Before the first image, too: files are read to see whether they were decoded before.
            assert_eq!(job.load(spec).err().unwrap().exit_code(), 75);
            assert_eq!(impatient.loaded.load(Ordering::SeqCst), loaded);
        }
    });
}

#[test]
fn a_streamed_study_comes_to_the_bits_of_a_resident_one() {
    let heard = Heard::default();
    with_job(TEXT, &heard, |job| {
        let (config, folders) = (streaming(TEXT), [job.out.join("resident"), job.out.join("streamed")]);
        let resident = in_folder(job, &folders[0], job.config).run(Selection::All, Manner::default()).unwrap();
        assert!(!heard.lines().iter().any(|l| l.contains("stream")), "{:?}", heard.lines());
        let before = heard.lines().len();
        let streamed = in_folder(job, &folders[1], &config).run(Selection::All, Manner::default()).unwrap();
        let said = heard.lines()[before..].iter().filter(|l| l.contains("stream from pages on disk")).count();
        assert_eq!(said, 1, "{:?}", heard.lines());
        let [due, found] = folders.each_ref().map(|f| bits(f));
        assert_eq!(due.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>(), "addresses are in the names");
        assert!(due.len() >= 20 && due.keys().filter(|k| k.ends_with(STATE)).count() == 4, "{:?}", due.keys());
        due.iter().for_each(|(name, bytes)| assert!(found[name] == *bytes, "{}", name.display()));
        for (a, b) in resident.results.iter().zip(&streamed.results) {
            assert_eq!((a.test_accuracy, a.auroc, a.knn_accuracy), (b.test_accuracy, b.auroc, b.knn_accuracy));
        }
        // The page file of a split is there once, and no pixels are beside it.
        let cached = std::fs::read_dir(folders[1].join("cache")).unwrap().map(|f| f.unwrap().path());
        assert_eq!(cached.filter(|f| f.extension().is_some_and(|e| e == "pages")).count(), 3);
    });
}

/// Raises a stop within the first epoch of a pretraining.
struct Stopper<'a> {
    stop: &'a AtomicBool,
    steps: AtomicUsize,
}

impl Progress for Stopper<'_> {
    fn stage(&self, name: &str, _: u64, _: u64, _: &'static str) {
        self.steps.store(if name.starts_with("pretrain") { 2 } else { usize::MAX }, Ordering::Relaxed);
    }
    fn step(&self, _: u64, _: &str) {
        if self.steps.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn done(&self, _: &str) {}
    fn note(&self, _: &str) {}
}

#[test]
fn a_stopped_stage_goes_on_streamed_or_resident_and_past_damage() {
    let text = TEXT.replace("[run]\n", "[run]\nloss_every = 1\n");
    let heard = Heard::default();
    with_job(&text, &heard, |job| {
        let (spec, config) = (&job.config.data.specs[0], streaming(&text));
        let pretrain = |job: &Job<'_>| job.pretrain(spec, "moco", 0, Default::default());
        let due = job.out.join("due");
        pretrain(&in_folder(job, &due, job.config)).unwrap();
        for (name, on) in [("streamed", &config), ("resident", job.config)] {
            let out = job.out.join(name);
            let stop = AtomicBool::new(false);
            let stopper = Stopper { stop: &stop, steps: AtomicUsize::new(usize::MAX) };
            let first = Job { stop: &stop, progress: &stopper, ..in_folder(job, &out, &config) };
            assert_eq!(pretrain(&first).unwrap_err().exit_code(), 75);
            assert!(!out.join(BACKBONE).exists() && out.join(STATE).exists());
            let pages = std::fs::read_dir(out.join("cache")).unwrap().map(|f| f.unwrap().path());
            let pages =
                pages.filter(|f| f.to_str().unwrap().ends_with("train.pages")).collect::<Vec<_>>().pop().unwrap();
            let mut bytes = std::fs::read(&pages).unwrap();
            bytes[17 * 18 * 18 + 5] ^= 8;
            std::fs::write(&pages, bytes).unwrap();
            pretrain(&in_folder(job, &out, on)).unwrap();
            for file in [STATE, BACKBONE] {
                assert!(
                    std::fs::read(out.join(file)).unwrap() == std::fs::read(due.join(file)).unwrap(),
                    "{name} {file}"
                );
            }
        }
        let told = heard.lines().into_iter().filter(|l| l.contains("page 17 of ") && l.contains("decoded again"));
        assert_eq!(told.count(), 1, "of the run that streams: {:?}", heard.lines());
    });
}

#[test]
fn plans_and_features_are_of_streamed_images_too() {
    with_job(TEXT, &Silent, |job| {
        let (config, out) = (streaming(TEXT), job.out.join("streamed"));
        let (spec, streamed) = (&job.config.data.specs[0], in_folder(job, &out, &config));
        let [held, plan] = [job, &streamed].map(|j| j.plan_pretraining(spec, "simclr", 0).unwrap());
        let images = |p: &Planned| p.promise.parts[0].1;
        assert!(images(&held) > 0 && images(&plan) == 0 && plan.streamed && !held.streamed);
        let views = |j: &Job<'_>| j.views(spec, "moco", (0, 1), 3).unwrap();
        assert_eq!(views(job), views(&streamed));
        let backbone = job.pretrain(spec, "simclr", 0, Default::default()).unwrap();
        let wish = Wish { batch: 8, ..Default::default() };
        let features = |j: &Job<'_>| j.embed(&backbone, spec, &wish).unwrap();
        assert_eq!(features(job).features, features(&streamed).features);
        let knn = |j: &Job<'_>| knn_accuracy(j, spec, Some(&backbone), 0).unwrap();
        assert_eq!(knn(job), knn(&streamed));
    });
}
