//! Tests of whole studies: damage, refusals, and how often the results are gathered.

use super::*;
use crate::base::files;
use crate::data::testing::write_png;
use crate::study::config::Config;
use crate::study::testing::{Heard, with_job};

/// Two datasets of class folders, with one cell each.
const TWO: &str = "[data]\nspecs = [\"one\", \"two\"]\nstore_size = 8\nimage_size = 8\n[model]\nwidth = 0.0625\n\
                   [pretraining]\nmethods = [\"none\"]\n[noise]\nrates = [0.0]\n[training]\nepochs = 1\n\
                   batch_size = 4\nwarmup_epochs = 0\n[evaluation]\nbatch_size = 4\n";

#[test]
fn what_is_damaged_of_one_set_ends_no_other_and_is_told() {
    let heard = Heard::default();
    with_job(TWO, &heard, |job| {
        for (at, set) in ["one", "two"].into_iter().enumerate() {
            for i in 0..20 {
                let split = ["train", "train", "val", "test"][i % 4];
                let class = ["a", "b"][i / 4 % 2];
                write_png(&job.data_root.join(format!("{set}/{split}/{class}/{i}.png")), (40 * at + i) as u64, 9);
            }
        }
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
        assert_eq!((run(Selection::Index(1)), run(Selection::Index(0)), folders("pretraining")), (1, 1, 1));
        assert!(!parts.out.join("report.html").exists(), "a cell alone reads no other");
        job.run(Selection::All, Manner::default()).unwrap();
        assert_eq!(rows(parts.out), rows(job.out));
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
        let with = |config: &Config| {
            Job { config, kernels: job.kernels.clone(), ..*job }.run(Selection::All, Manner::default())
        };
        let results = with(&config).unwrap().results;
        let names: Vec<&str> = results.iter().map(|r| r.pretraining.as_str()).collect();
        assert_eq!(names, ["none", "backbone"]);
        let folder = run_folder(job.out, &cells(&config)[1].name);
        let environment = files::read_text(&folder.join("environment.json")).unwrap();
        assert!(environment.contains("backbone.safetensors"), "{environment}");
        // The same file for another backbone, and a file that is not there.
        let mut wide = config.clone();
        wide.model.width = Some(0.125);
        let e = with(&wide).unwrap_err();
        assert!(e.exit_code() == 4 && e.to_string().contains("list the file for its own backbone"), "{e}");
        let mut gone = config.clone();
        gone.pretraining.weights.insert("resnet18".into(), vec!["gone.pth".into()]);
        assert!(with(&gone).unwrap_err().to_string().contains("gone.pth"));
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
