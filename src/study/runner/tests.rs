//! Tests of whole studies: damage, refusals, and how often the results are gathered.

use super::*;
use crate::base::progress::Progress;
use crate::base::{files, seal};
use crate::data::Split;
use crate::data::testing::write_png;
use crate::device::tune::Table;
use crate::study::config::Config;
use crate::study::evaluate::evaluate_run;
use crate::study::folder::{Done, kept_config};
use crate::study::names::{DONE, FAILED, OWNER};
use crate::study::standing;
use crate::study::testing::{Heard, with_job};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Two datasets of class folders, with one cell each.
const TWO: &str = "[data]\nspecs = [\"one\", \"two\"]\nstore_size = 8\nimage_size = 8\n[model]\nwidth = 0.0625\n\
                   [pretraining]\nmethods = [\"none\"]\n[noise]\nrates = [0.0]\n[training]\nepochs = 1\n\
                   batch_size = 4\nwarmup_epochs = 0\n[evaluation]\nbatch_size = 4\n";

#[test]
fn what_is_damaged_of_one_set_ends_no_other_and_is_told() {
    let heard = Heard::default();
    with_job(TWO, &heard, |job| {
        write_two(job.data_root);
        let run = || job.run(Selection::All, Manner::default()).unwrap();
        let whole = run();
        let strip = job.out.join("pictures/two/labels.json");
        let (labels, page) = (files::read(&strip).unwrap(), job.out.join("report.html"));
        std::fs::write(&strip, "{").unwrap();
        let caches = std::fs::read_dir(job.out.join("cache")).unwrap().map(|e| e.unwrap().path());
        for cache in caches.filter(|p| p.is_file()) {
            std::fs::write(cache, "damaged").unwrap();
        }
        let again = run();
        assert!(again.results == whole.results && again.damaged.is_empty(), "{:?}", again.damaged);
        assert_eq!(files::read(&strip).unwrap(), labels, "the pictures are written anew");
        assert!(!files::read_text(&page).unwrap().contains("labels.json"), "nothing is left to tell");
        let lines = heard.lines();
        let said = |what: &str| lines.iter().filter(|l| l.contains(what)).count();
        assert_eq!((said("pictures are written anew"), said("warning: the cached data")), (1, 2), "{lines:?}");
    });
}

/// Writes the images of the two datasets.
fn write_two(root: &Path) {
    for (at, set) in ["one", "two"].into_iter().enumerate() {
        for i in 0..20 {
            let split = ["train", "train", "val", "test"][i % 4];
            let class = ["a", "b"][i / 4 % 2];
            write_png(&root.join(format!("{set}/{split}/{class}/{i}.png")), (40 * at + i) as u64, 9);
        }
    }
}

#[test]
fn a_cell_that_fails_is_kept_with_its_reason_and_stops_no_other() {
    let methods = "[training]\nmethods = [\"gce\", \"cross_entropy\"]\ngce.optimizer.lr = 1e30\n";
    let heard = Heard::default();
    with_job(&TWO.replace("[training]\n", methods), &heard, |job| {
        write_two(job.data_root);
        let run = |retry_failed| job.run(Selection::All, Manner { retry_failed, ..Manner::default() }).unwrap();
        let first = run(false);
        let grid = cells(job.config);
        let of = |outcome: &Outcome| outcome.results.iter().map(|r| r.method.clone()).collect::<Vec<_>>();
        assert_eq!((of(&first), grid.len()), (vec!["cross_entropy".to_string(); 2], 4));
        assert_eq!((first.failed.cells, first.failed.exit_code, first.damaged.len()), (2, 1, 0), "{first:?}");
        let [reason] = &first.failed.reasons[..] else { panic!("{first:?}") };
        assert!(reason.contains(" and 1 cell more: the loss of epoch 1"), "{reason}");
        let folder = |i: usize| run_folder(job.out, &grid[i].name);
        let kept = Failure::read(&folder(0)).unwrap();
        assert!(kept.is_of_numbers() && first.failed.reasons[0].ends_with(&kept.reason), "{kept:?}");
        assert!(heard.lines().iter().any(|l| l.starts_with("failed: ")), "{:?}", heard.lines());
        let page = files::read_text(&job.out.join("report.html")).unwrap();
        assert!(page.contains("<b>2 cells failed</b>") && page.contains("What is missing: 2 failed"));
        // The same numbers would come again, so the cell is left, until it is asked for.
        seal::write(&folder(0).join(FAILED), &Failure { reason: "as it was kept".into(), ..kept.clone() }).unwrap();
        let told = |outcome: &Outcome| outcome.failed.reasons.iter().any(|r| r.ends_with("as it was kept"));
        assert!(told(&run(false)) && !told(&run(true)), "it runs again with --retry-failed alone");
        assert_eq!(Failure::read(&folder(0)), Some(kept.clone()));
        // What failed with other settings, or on another adapter, is made again, from its beginning.
        let other = Failure { reason: "as it was kept".into(), address: "other".into(), ..kept.clone() };
        seal::write(&folder(0).join(FAILED), &other).unwrap();
        std::fs::write(folder(0).join("left"), "by the other").unwrap();
        assert!(!told(&run(false)) && !folder(0).join("left").exists(), "another address, another failure");
        assert_eq!(Failure::read(&folder(0)), Some(kept.clone()));
        // A merge may bring a result into a folder where the cell had failed.
        let address = Done::read(&folder(1)).unwrap().unwrap().address;
        seal::write(&folder(1).join(FAILED), &Failure { address, ..kept.clone() }).unwrap();
        let merged = run(false);
        assert_eq!((of(&merged).len(), merged.failed.cells, folder(1).join(FAILED).exists()), (2, 2, false));
        job.keep_failure(&folder(1), &kept).unwrap();
        assert!(!folder(1).join(FAILED).exists(), "it was finished meanwhile");
        // A dataset that is gone is its own cells' failure, and loses nothing that was finished.
        std::fs::remove_dir_all(job.data_root.join("two")).unwrap();
        let gone = run(false);
        assert_eq!((of(&gone).len(), gone.failed.cells), (1, 3));
        assert!(gone.failed.reasons.iter().any(|r| r.contains("data 'two' was looked for")), "{gone:?}");
        assert!(Failure::read(&folder(3)).is_none(), "a finished cell stays finished");
        let standing = standing(job.out, job.config, &grid).unwrap();
        assert_eq!(standing.counts()[..3], [("done", 2), ("running", 0), ("failed", 2)]);
        assert_eq!(files::read_text(&job.out.join("results.csv")).unwrap().lines().count(), 3);
        write_two(job.data_root);
        std::fs::remove_dir_all(folder(3)).unwrap();
        assert_eq!(of(&run(false)).len(), 2, "what a person mended is looked at again");
    });
}

/// Makes the folder another machine's in the first step of its training.
struct Thief {
    owner: PathBuf,
    done: AtomicBool,
}

impl Progress for Thief {
    fn stage(&self, _: &str, _: u64, _: u64, _: &'static str) {}

    fn step(&self, _: u64, note: &str) {
        if note.starts_with("epoch") && self.owner.exists() && !self.done.swap(true, Ordering::SeqCst) {
            let other = serde_json::json!({ "id": "another", "machine": "another", "beat": 7 });
            seal::write(&self.owner, &other).unwrap();
        }
    }

    fn done(&self, _: &str) {}
    fn note(&self, _: &str) {}
}

/// A lock that is granted to two: who lost the folder writes neither a checkpoint nor `done`, and when the other is gone the
/// cell comes to the bits of one that nobody disturbed.
#[test]
fn a_folder_that_another_took_is_left_to_it() {
    let text = TWO.replace("[\"one\", \"two\"]", "[\"one\"]").replace("epochs = 1", "epochs = 3")
        + "[run]\ncheckpoint_seconds = 0.001\nloss_every = 1\n";
    with_job(&text, &Heard::default(), |job| {
        write_two(job.data_root);
        let alone = job.out.join("alone");
        let due =
            Job { out: &alone, kernels: Table::default(), ..*job }.run(Selection::All, Manner::default()).unwrap();
        let folder = run_folder(job.out, &cells(job.config)[0].name);
        let thief = Thief { owner: folder.join(OWNER), done: AtomicBool::new(false) };
        let manner = Manner { no_wait: true, ..Manner::default() };
        let robbed = Job { progress: &thief, kernels: Table::default(), ..*job }.run(Selection::All, manner);
        assert!(matches!(&robbed, Err(Error::Busy(held)) if *held == folder), "{robbed:?}");
        assert!(!folder.join(DONE).exists() && thief.done.load(Ordering::SeqCst));
        assert!(files::read_text(&folder.join(OWNER)).unwrap().contains("another"), "the other's file stays");
        std::fs::remove_file(folder.join(OWNER)).unwrap();
        let got = job.run(Selection::All, Manner::default()).unwrap();
        let bits = |out: &Path| {
            files::read(&run_folder(out, &cells(job.config)[0].name).join("backbone.safetensors")).unwrap()
        };
        assert!(bits(job.out) == bits(&alone) && got.results[0].test_accuracy == due.results[0].test_accuracy);
        assert!(!folder.join(OWNER).exists());
    });
}

#[test]
fn a_damaged_pretraining_is_told_once_for_all_its_cells() {
    let text = "[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 8\nimage_size = 8\n[model]\n\
                width = 0.0625\n[pretraining]\nmethods = [\"none\", \"simclr\"]\nepochs = 1\nwarmup_epochs = 0\nbatch_size = 8\n\
                simclr.projection_dims = [8, 4]\n[noise]\nrates = [0.0, 0.2, 0.4]\n[training]\nepochs = 1\nbatch_size = 8\n\
                warmup_epochs = 0\n[evaluation]\nbatch_size = 8\n";
    let heard = Heard::default();
    with_job(text, &heard, |job| {
        let run = || job.run(Selection::All, Manner::default()).unwrap();
        let whole = run();
        let folder = std::fs::read_dir(job.out.join("pretraining")).unwrap().next().unwrap().unwrap().path();
        let path = folder.join("backbone.safetensors");
        let mut bytes = files::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let again = run();
        assert_eq!((whole.results.len(), again.results.len()), (6, 3), "the cells without it go on");
        let [said] = &again.damaged[..] else { panic!("{:?}", again.damaged) };
        assert!(said.contains(" and 2 cells more: ") && said.contains("backbone.safetensors"), "{said}");
        assert_eq!(heard.lines().iter().filter(|l| l.starts_with("damaged: ")).count(), 1, "{:?}", heard.lines());
    });
}

/// The cells of a pretraining that failed are looked at again when it is done, and until then it fails once for all.
#[test]
fn a_pretraining_that_fails_is_tried_once_and_is_no_failure_of_its_cells_own() {
    let text = "[data]\nspecs = [\"phantom:covid?train=16&val=4&test=6\"]\nstore_size = 8\nimage_size = 8\n[model]\n\
                width = 0.0625\n[pretraining]\nmethods = [\"simclr\"]\nepochs = 1\nwarmup_epochs = 0\nbatch_size = 8\n\
                optimizer.lr = 1e30\nsimclr.projection_dims = [8, 4]\n[noise]\nrates = [0.0, 0.4]\n[training]\nepochs = 1\n\
                batch_size = 8\nwarmup_epochs = 0\n[evaluation]\nbatch_size = 8\n";
    with_job(text, &Heard::default(), |job| {
        let failed = job.run(Selection::All, Manner::default()).unwrap().failed;
        assert_eq!((failed.cells, failed.exit_code, failed.reasons.len()), (2, 1, 1), "{failed:?}");
        assert_eq!(&kept_config(job.out).unwrap(), job.config, "the list can be asked where all cells failed");
        let grid = cells(job.config);
        let folder = std::fs::read_dir(job.out.join("pretraining")).unwrap().next().unwrap().unwrap().path();
        let kept = Failure::read(&folder).unwrap();
        assert!(kept.is_of_numbers() && folder.to_string_lossy().ends_with(&kept.address), "{kept:?}");
        for cell in &grid {
            let of_cell = Failure::read(&run_folder(job.out, &cell.name)).unwrap();
            assert!(of_cell.reason == kept.reason && !of_cell.is_of_numbers(), "{of_cell:?}");
        }
        // One that failed by its data in this process waits for the next command, too.
        seal::write(&folder.join(FAILED), &Failure { exit_code: 4, reason: "as it was kept".into(), ..kept }).unwrap();
        let (set, mut tried) = (job.load(&grid[1].spec).unwrap(), BTreeSet::from([folder.clone()]));
        let e = job.start_of(&grid[1], &set, (false, &mut tried)).err().unwrap();
        assert_eq!((e.exit_code(), e.to_string().as_str()), (4, "as it was kept"));
    });
}

#[test]
fn a_failure_that_two_forget_at_once_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..200 {
        std::fs::write(dir.path().join(FAILED), "{}").unwrap();
        let at_once = std::sync::Barrier::new(4);
        let forget = || {
            at_once.wait();
            forget_failure(dir.path())
        };
        std::thread::scope(|scope| {
            let all = [(); 4].map(|()| scope.spawn(forget));
            all.into_iter().for_each(|one| one.join().unwrap().unwrap());
        });
    }
}

/// What a scheduler starts: each pretraining, then each cell, then the table. It is the table of one process.
#[test]
fn pretrainings_and_cells_alone_make_the_table_of_the_whole() {
    let text = "[data]\nspecs = [\"phantom:covid?train=16&val=4&test=6\"]\nstore_size = 8\nimage_size = 8\n[model]\n\
                width = 0.0625\n[pretraining]\nmethods = [\"none\", \"simclr\"]\nepochs = 1\nwarmup_epochs = 0\nbatch_size = 8\n\
                simclr.projection_dims = [8, 4]\n[noise]\nrates = [0.4]\n[training]\nepochs = 1\nbatch_size = 8\n\
                warmup_epochs = 0\n[evaluation]\nbatch_size = 8\n";
    let rows = |out: &std::path::Path| -> Vec<(String, CellResult)> {
        let timeless = |(name, r): (String, CellResult)| (name, CellResult { seconds: 0.0, ..r });
        gather(out).unwrap().cells.into_iter().map(timeless).collect()
    };
    with_job(text, &Heard::default(), |job| {
        let parts = &Job { out: &job.out.join("parts"), kernels: job.kernels.clone(), ..*job };
        let folders = |of: &str| std::fs::read_dir(parts.out.join(of)).map_or(0, Iterator::count);
        let run = |selection: Selection| parts.run(selection, Manner::default()).unwrap().results.len();
        assert_eq!((run(Selection::Pretraining(0)), folders("pretraining"), folders("runs")), (0, 1, 0));
        assert_eq!(&kept_config(parts.out).unwrap(), job.config, "the list can be asked before a cell is finished");
        assert_eq!((run(Selection::Index(1)), run(Selection::Index(0)), folders("pretraining")), (1, 1, 1));
        assert!(!parts.out.join("report.html").exists(), "a cell alone reads no other");
        job.run(Selection::All, Manner::default()).unwrap();
        assert_eq!(rows(parts.out), rows(job.out));
    });
}

/// Another key of the pretraining would make another one, for nothing: the cells that are there started from the first.
#[test]
fn cells_that_started_from_another_pretraining_are_refused_before_it_is_made() {
    let text = "[data]\nspecs = [\"phantom:covid?train=16&val=4&test=6\"]\nstore_size = 8\nimage_size = 8\n[model]\n\
                width = 0.0625\n[pretraining]\nmethods = [\"simclr\"]\nepochs = 1\nwarmup_epochs = 0\nbatch_size = 8\n\
                simclr.projection_dims = [8, 4]\n[noise]\nrates = [0.4]\n[training]\nepochs = 1\nbatch_size = 8\n\
                warmup_epochs = 0\n[evaluation]\nbatch_size = 8\nprotocols = [\"finetune\", \"knn\"]\n";
    let other = Config::parse("t", &text.replace("[8, 4]", "[8, 2]")).unwrap();
    let heard = Heard::default();
    with_job(text, &heard, |job| {
        let folders = || std::fs::read_dir(job.out.join("pretraining")).unwrap().map(|e| e.unwrap().path());
        let run = |config: &Config| {
            let job = Job { config, kernels: job.kernels.clone(), ..*job };
            job.run(Selection::All, Manner::default()).map(|done| done.results.len())
        };
        assert_eq!((run(job.config).unwrap(), folders().count()), (2, 1));
        let refused = run(&other).unwrap_err();
        assert_eq!((refused.exit_code(), folders().count()), (2, 1));
        let said = refused.to_string();
        assert!(
            said.contains("projection_dims: [8,4], now [8,2]") && said.contains("started from the pretraining in"),
            "{said}"
        );
        // The study stays that of the first config, which finds all of its cells.
        assert_eq!(kept_config(job.out).unwrap(), *job.config);
        let folder = folders().next().unwrap();
        let refused = || {
            let e = evaluate_run(job, &job.config.data.specs[0], Split::Test, &folder).unwrap_err();
            assert!(e.exit_code() == 4 && e.to_string().contains("is a pretraining, which has no classifier"), "{e}");
        };
        refused();
        // An unfinished one is refused before its checkpoint is spoken of.
        std::fs::remove_file(folder.join(crate::study::names::DONE)).unwrap();
        refused();
        assert!(!heard.lines().iter().any(|l| l.contains("is not finished")), "{:?}", heard.lines());
        // Where the first pretraining is gone, the same one is made again and leads to the same cells.
        folders().for_each(|folder| std::fs::remove_dir_all(folder).unwrap());
        assert_eq!((run(job.config).unwrap(), folders().count()), (2, 1));
        // A cell whose folder is gone is made anew.
        cells(job.config).iter().for_each(|cell| std::fs::remove_dir_all(run_folder(job.out, &cell.name)).unwrap());
        assert_eq!((run(&other).unwrap(), folders().count()), (2, 2));
    });
}

/// Weights from elsewhere are a column beside random weights and methods, under a name of their own.
#[test]
fn a_file_of_weights_is_a_column_of_the_grid() {
    let text = |weights: &str| {
        format!(
            "[data]\nspecs = [\"phantom:covid?train=16&val=4&test=6\"]\nstore_size = 8\nimage_size = 8\n[model]\nwidth = 0.0625\n\
             [pretraining]\nmethods = [\"none\"]\nepochs = 0\nwarmup_epochs = 0\nbatch_size = 8\nsimclr.projection_dims = [8, 4]\n{weights}\
             [noise]\nrates = [0.4]\n[training]\nepochs = 1\nbatch_size = 8\nwarmup_epochs = 0\n[evaluation]\nbatch_size = 8\n"
        )
    };
    with_job(&text(""), &Heard::default(), |job| {
        let made = &Job { out: &job.out.join("made"), kernels: job.kernels.clone(), ..*job };
        made.pretrain("phantom:covid?train=16&val=4&test=6", "simclr", 7, Default::default()).unwrap();
        let text = text("[pretraining.weights]\nresnet18 = [\"made/backbone.safetensors\"]\n");
        let config = Config::parse("t", &text).unwrap();
        let with = |config: &Config, out: &str| {
            let out = &job.out.join(out);
            Job { config, out, kernels: job.kernels.clone(), ..*job }.run(Selection::All, Manner::default())
        };
        let results = with(&config, "study").unwrap().results;
        let names: Vec<&str> = results.iter().map(|r| r.pretraining.as_str()).collect();
        assert_eq!(names, ["none", "backbone"]);
        let folder = run_folder(&job.out.join("study"), &cells(&config)[1].name);
        let environment = files::read_text(&folder.join("environment.json")).unwrap();
        assert!(environment.contains("backbone.safetensors"), "{environment}");
        // The same file for another backbone, and a file that is not there.
        let mut wide = config.clone();
        wide.model.width = Some(0.125);
        let e = with(&wide, "wide").unwrap_err();
        assert!(e.exit_code() == 4 && e.to_string().contains("list the file for its own backbone"), "{e}");
        let mut gone = config.clone();
        gone.pretraining.weights.insert("resnet18".into(), vec!["gone.pth".into()]);
        assert!(with(&gone, "gone").unwrap_err().to_string().contains("gone.pth"));
    });
}

#[test]
fn noise_that_cannot_be_is_refused_before_the_first_clean_cell() {
    let text = "[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 8\nimage_size = 8\n\
                [noise]\nkinds = [\"matrix\"]\nrates = [0.0, 0.4]\n";
    with_job(text, &Heard::default(), |job| {
        let e = job.run(Selection::All, Manner::default()).unwrap_err();
        assert!(e.to_string().contains("noise.matrix.rows is 2 × 2 and the data has 3 classes"), "{e}");
        assert!(!job.out.join("runs").exists(), "nothing was trained");
    });
}

#[test]
fn a_method_that_cannot_learn_from_the_labels_is_refused_before_any_pretraining() {
    let of = |noise: &str, training: &str| {
        let text = format!(
            "[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 8\nimage_size = 8\n[pretraining]\n\
             methods = [\"simclr\"]\n[noise]\n{noise}\n[training]\n{training}\n"
        );
        let mut said = String::new();
        with_job(&text, &Heard::default(), |job| {
            let e = job.run(Selection::All, Manner::default()).unwrap_err();
            assert_eq!(e.exit_code(), 2, "{e}");
            assert!(!job.out.join("pretraining").exists() && !job.out.join("runs").exists(), "nothing was trained");
            said = e.to_string();
        });
        said
    };
    let rows = "methods = [\"cross_entropy\", \"forward\"]\nforward.transition = [[0.9, 0.1], [0.2, 0.8]]";
    let said = of("rates = [0.4]", rows);
    assert!(said.contains("training.forward.transition has 2 rows and the data 3 classes"), "{said}");
    assert_eq!(of("rates = [0.0]", rows), said, "clean labels are learnt from, too");
}

#[test]
fn gathering_takes_a_small_part_of_a_study_s_time() {
    let (mut pace, mut times) = (Pace::default(), 0);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        let gather = || {
            times += 1;
            std::thread::sleep(Duration::from_millis(10));
            Ok(())
        };
        pace.take(gather).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(times, 1, "10 ms are a hundredth of a second and not of half a second");
}
