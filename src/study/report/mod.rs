//! The report: one HTML page with its style, plots and pictures inside; it needs no network and no script. `read` takes
//! the numbers from a study's folder, `page` turns them into HTML, `findings` holds what the tests of `study::statistics` say,
//! `beside` writes it as tables and plots of their own, and `check` compares all of it with `results.csv`.

mod beside;
mod check;
mod compared;
mod features;
mod findings;
mod gained;
mod heat;
#[cfg(test)]
mod large;
mod memorisation;
mod missing;
mod names;
mod page;
mod panels;
mod profile;
mod questions;
mod ranks;
mod read;
mod shown;
mod tables;
#[cfg(test)]
mod testing;
mod words;

pub use check::check_report;
pub use missing::missing_in_words;

use super::results::Gathered;
use crate::base::{Result, files};
use std::path::{Path, PathBuf};

/// Writes `report.html` from what was gathered in the study's folder `dir` (`config.toml`, `runs/*/result.json`,
/// `runs/*/epochs.jsonl`, `runs/*/projection.json`, `pictures/`), and says where it is, with a sentence for each strip of pictures and each run's
/// epochs that are damaged and not shown. Its tables and plots go to files of their own in `report/`.
pub fn report(dir: &Path, gathered: &Gathered) -> Result<(PathBuf, Vec<String>)> {
    let path = dir.join("report.html");
    let study = read::Study::read(dir, gathered)?;
    let found = findings::Findings::of(&study)?;
    files::write_atomic(&path, page::page(&study, &found)?.as_bytes())?;
    beside::write(dir, &beside::files(&study, &found)?)?;
    Ok((path, study.not_shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::study::folder::Done;
    use crate::study::folder::write_config;
    use crate::study::names::{DONE, EPOCHS, PROJECTION, RESULT};
    use crate::study::projection::Projection;
    use crate::study::results::tests::{finish, sample};
    use crate::study::results::{CellResult, EpochRecord, Phase, Picture, gather, run_folder, write_pictures};
    use crate::study::{Cell, Config, Protocol, cells};

    fn write(dir: &Path) -> Result<PathBuf> {
        Ok(report(dir, &gather(dir)?)?.0)
    }

    /// A made-up study in which pretraining helps, and helps more with more noise.
    fn accuracy(cell: &Cell) -> f64 {
        let set = cell.dataset.len() as f64 % 5.0;
        let helped = if cell.pretraining.to_string() == "none" { 0.0 } else { 0.02 + 0.25 * cell.noise_rate };
        let wobble = ((cell.index * 7919) % 13) as f64 / 13.0 * 0.02;
        0.9 - 0.05 * set - 0.5 * cell.noise_rate + helped + wobble
    }

    fn epochs(cell: &Cell) -> Vec<EpochRecord> {
        let reach = if cell.pretraining.to_string() == "none" { 0.8 } else { 0.5 };
        let record = |epoch: usize| EpochRecord {
            phase: Phase::Train,
            epoch,
            loss: 2.0 / epoch as f64,
            lr: 0.01,
            skipped_steps: 0,
            train_accuracy: Some(0.5),
            wrong_label_memorised: (cell.noise_rate > 0.0).then(|| reach * (1.0 - (-(epoch as f64) / 6.0).exp())),
            val_accuracy: Some(0.6),
            seconds: 1.0,
            images_per_s: 150.0,
            ..EpochRecord::default()
        };
        (1..=20).map(record).collect()
    }

    /// A gray PNG of 4×4 pixels.
    const PNG: &[u8] =
        b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x04\x00\x00\x00\x04\x08\x00\x00\x00\x00\
        \x8c\x9a\xc1\xa2\x00\x00\x00\x1aIDATx\xdac`\xb0\xa9\xd8\xc2 \x12\xd0s\x82A#e\xc1\x1d\x10\xef\x03\
        \x00>\x94\x07\x81W\xac\x06W\x00\x00\x00\x00IEND\xaeB`\x82";

    fn write_study(dir: &Path, text: &str) -> Vec<Cell> {
        let config = Config::parse("t", text).unwrap();
        write_config(dir, &config).unwrap();
        let grid = cells(&config);
        for cell in &grid {
            let folder = run_folder(dir, &cell.name);
            finish(&folder, &sample(cell, accuracy(cell)), &epochs(cell));
        }
        let classes = ["abdomen", "brain", "femur", "a class of a long name"];
        for set in &config.data.specs {
            let picture = |i: usize| Picture {
                png: PNG.to_vec(),
                clean: classes[i % 4].into(),
                given: classes[if i % 3 == 2 { (i + 1) % 4 } else { i % 4 }].into(),
            };
            let pictures: Vec<Picture> = (0..10).map(picture).collect();
            write_pictures(dir, &set.replace(':', "-"), &pictures).unwrap();
        }
        grid
    }

    const SPECS: &str = "[data]\nspecs = [\"phantom:fetal\", \"phantom:dermnet\", \"phantom:covid\"]\n";

    /// Labels from a file have another share of wrong labels in each dataset, which may be 0.
    #[test]
    fn given_labels_are_one_level_of_all_datasets() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[data]\nspecs = [\"phantom:fetal\", \"phantom:covid\"]\n[pretraining]\nmethods = [\"none\"]\n\
                    [noise]\nkinds = [\"given\"]\nrates = [0.0]\n[noise.given]\nfile = \"given.csv\"\n";
        let grid = write_study(dir.path(), text);
        for cell in grid.iter().filter(|c| c.noise_kind.is_some()) {
            let rate = if cell.dataset.contains("covid") { 0.0 } else { 0.173_456_789 };
            let row = CellResult { noise_rate: rate, realised_noise_rate: rate, ..sample(cell, 0.5) };
            finish(&run_folder(dir.path(), &cell.name), &row, &epochs(cell));
        }
        let study = read::Study::read(dir.path(), &gather(dir.path()).unwrap()).unwrap();
        let (levels, series) = (study.levels("given"), &study.series()[0]);
        let words: Vec<String> = levels.iter().map(|l| l.words()).collect();
        assert_eq!((words, study.kinds()), (vec!["clean labels".into(), "given labels".into()], vec!["given".into()]));
        assert!(
            study.levels("symmetric").iter().all(|l| l.is_clean()),
            "0 wrong labels of a file are not clean labels"
        );
        for (dataset, share) in [("phantom-fetal", 17.3456789), ("phantom-covid", 0.0)] {
            assert_eq!(study.repeats(dataset, &levels[1], series).len(), 1);
            let x: Vec<f64> =
                study.line(dataset, "given", series, |r| Some(r.test_accuracy)).iter().map(|p| p.x).collect();
            assert!(x.len() == 2 && x[0] == 0.0 && (x[1] - share).abs() < 1e-9, "{x:?}");
        }
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        assert!(page.contains("<th>files left out, not decoded</th>"));
        assert!(page.contains("<td>17.3</td>") && !page.contains("17.3457"), "the share is a number of the table");
    }

    #[test]
    fn a_report_stands_alone_and_says_what_the_results_say() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            format!("name = \"Noise & <pretraining>\"\nseeds = [0, 1, 2]\n{SPECS}[noise]\nrates = [0.0, 0.2, 0.4]\n");
        let grid = write_study(dir.path(), &text);
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        for part in [
            "Noise &amp; &lt;pretraining&gt;",
            "<svg",
            "SimCLR",
            "random weights",
            "phantom-dermnet",
            "data:image/png;base64,iVBORw0KGgo",
            "llvmpipe",
            &format!("{} of {} cells", grid.len(), grid.len()),
            "95 %",
            "<th>neighbours</th>",
            "symmetric",
        ] {
            assert!(page.contains(part), "{part} is not in the page");
        }
        let outside = ["http://", "https://", "<script", "<link", "url("];
        let page_only = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", ""); // a name, not an address to fetch
        assert!(outside.iter().all(|o| !page_only.contains(o)), "the page reaches outside");
        assert_eq!(page, files::read_text(&write(dir.path()).unwrap()).unwrap(), "the same folder, the same page");
    }

    #[test]
    fn a_backbone_of_its_own_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let grid = write_study(dir.path(), SPECS);
        let page = || files::read_text(&write(dir.path()).unwrap()).unwrap();
        assert!(!page().contains("a backbone of its own"));
        for cell in grid.iter().filter(|c| *c.pretraining == *"simclr") {
            let row = CellResult { backbone: "resnet18 × 2".into(), ..sample(cell, accuracy(cell)) };
            finish(&run_folder(dir.path(), &cell.name), &row, &epochs(cell));
        }
        let page = page();
        let said =
            "SimCLR has a backbone of its own</b>, resnet18 × 2, and no cell of that backbone has random weights";
        assert!(page.contains(said) && page.contains(">backbones<") && page.contains(">backbone<"));
        assert!(
            page.contains("no pretraining was run beside random weights"),
            "it is not compared with another backbone"
        );
    }

    /// A gain is over random weights of the same backbone: what backbones differ in is no gain.
    #[test]
    fn a_gain_is_within_a_backbone() {
        let text = "backbones = [\"resnet18\", \"vit_tiny\"]\nseeds = [0, 1, 2]\n[data]\nspecs = [\"phantom:fetal\"]\n[pretraining]\n\
                    methods = [\"none\", \"simclr\", \"mae\"]\n[evaluation]\nprotocols = [\"finetune\", \"knn\"]\n";
        let score = |cell: &Cell| {
            let of = |name: &str| f64::from(u8::from(*cell.pretraining == *name));
            let vit = f64::from(u8::from(*cell.backbone == *"vit_tiny"));
            0.5 + 0.2 * vit + of("simclr") * (0.03 - 0.02 * vit) + of("mae") * 0.05 + 0.001 * cell.seed as f64
                - if cell.protocol == Protocol::Knn { 0.1 } else { 0.0 }
        };
        let study = testing::study(text, &score);
        let level = &study.levels("symmetric")[1];
        let series = |backbone: &str, pretraining: &str, method: &str| read::Series {
            backbone: backbone.into(),
            pretraining: pretraining.into(),
            method: method.into(),
        };
        for (backbone, pretraining, due) in
            [("resnet18", "simclr", 3.0), ("vit_tiny", "simclr", 1.0), ("vit_tiny", "mae", 5.0)]
        {
            for method in ["cross_entropy", "knn"] {
                let gains = study.gains("phantom-fetal", level, &series(backbone, pretraining, method));
                assert!(
                    gains.len() == 3 && gains.iter().all(|g| (g - due).abs() < 1e-9),
                    "{backbone} {pretraining}: {gains:?}"
                );
            }
        }
        let of = |name: &str| {
            let strata = compared::gains(&study, name, "none", &|run| !run.level.is_clean());
            strata[0].differences()
        };
        assert!(
            of("simclr").iter().all(|g| (g - 2.0).abs() < 1e-9) && of("mae").iter().all(|g| (g - 5.0).abs() < 1e-9)
        );
        assert_eq!(compared::everywhere(&study), (vec!["simclr".to_string()], vec!["mae".to_string()]));
        let page = page::page(&study, &findings::Findings::of(&study).unwrap()).unwrap();
        assert!(page.contains("Not on every backbone") && page.contains("SimCLR, Cross-entropy, vit_tiny"));
    }

    #[test]
    fn an_unfinished_study_reports_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let grid = write_study(dir.path(), SPECS);
        for cell in &grid[2..] {
            std::fs::remove_dir_all(run_folder(dir.path(), &cell.name)).unwrap();
        }
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        assert!(page.contains("2 of 12 cells") && !page.contains("damaged"));
        let result = run_folder(dir.path(), &grid[0].name).join("result.json");
        std::fs::write(&result, "{}").unwrap();
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        assert!(
            page.contains("1 of 12 cells")
                && page.contains("One cell is left out of every number")
                && page.contains("result.json is damaged")
        );
        assert!(page.contains("10 cells are not finished yet") && page.contains("--redo-damaged"));
        std::fs::remove_file(run_folder(dir.path(), &grid[1].name).join(DONE)).unwrap();
        assert_eq!(write(dir.path()).unwrap_err().exit_code(), 4);
    }

    #[test]
    fn a_changed_picture_is_not_shown_and_the_rest_is() {
        let dir = tempfile::tempdir().unwrap();
        let grid = write_study(dir.path(), SPECS);
        let whole = files::read_text(&write(dir.path()).unwrap()).unwrap();
        let picture = dir.path().join("pictures/phantom-covid/03.png");
        let mut bytes = PNG.to_vec();
        bytes[40] ^= 1;
        let shown = |page: &str| page.matches("data:image/png").count();
        for change in [Some(bytes), None] {
            match change {
                Some(bytes) => std::fs::write(&picture, bytes).unwrap(),
                None => std::fs::remove_file(&picture).unwrap(),
            }
            let (path, not_shown) = report(dir.path(), &gather(dir.path()).unwrap()).unwrap();
            let page = files::read_text(&path).unwrap();
            assert!(not_shown.len() == 1 && not_shown[0].contains("03.png is damaged"), "{not_shown:?}");
            assert!(page.contains("Damaged and not shown") && page.contains("03.png is damaged"));
            let cells = format!("{} of {} cells", grid.len(), grid.len());
            assert!(page.contains(&cells) && shown(&page) == shown(&whole) * 2 / 3, "{}", shown(&page));
        }
    }

    #[test]
    fn epochs_that_no_run_wrote_are_not_shown_and_the_rest_is() {
        let dir = tempfile::tempdir().unwrap();
        let grid = write_study(dir.path(), SPECS);
        let folder = run_folder(dir.path(), &grid[0].name);
        // The checksums are right, but a share is not between 0 and 1.
        let strange = EpochRecord { train_accuracy: Some(7.5), ..epochs(&grid[0])[0].clone() };
        finish(&folder, &sample(&grid[0], accuracy(&grid[0])), &[strange]);
        let (path, not_shown) = report(dir.path(), &gather(dir.path()).unwrap()).unwrap();
        assert!(not_shown.len() == 1 && not_shown[0].contains("train_accuracy is 7.5"), "{not_shown:?}");
        assert!(files::read_text(&path).unwrap().contains(&format!("{0} of {0} cells", grid.len())));
    }

    #[test]
    fn features_are_drawn_and_a_run_without_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let grid = write_study(dir.path(), SPECS);
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        assert!(page.contains("kept no picture of features") && page.contains("<li>SimCLR on phantom-covid</li>"));
        let folder = run_folder(dir.path(), &grid[0].name);
        let projection = Projection {
            classes: vec!["ovoid <b>".into(), "round".into()],
            labels: vec![0, 1, 1],
            points: vec![[-2.0, 0.5], [0.5, -1.0], [1.5, 0.5]],
            shares: [0.614, 0.2],
            test_images: 9,
        };
        assert!(projection.write(&folder, &Silent).unwrap());
        Done::write(&folder, "address", &[RESULT, EPOCHS, PROJECTION]).unwrap();
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        for part in [
            "3 of 9 test images",
            "ovoid &lt;b&gt;",
            "61 % of the variance across, 20 % up",
            "Trained on clean labels. ",
            "fill-opacity=\"0.8\" d=\"M",
        ] {
            assert!(page.contains(part), "{part} is not in the page");
        }
        assert!(page.contains("<li>SimCLR on phantom-covid</li>"), "the others still have none");
        // The checksum is right, but a label has no class.
        let damaged = Projection { labels: vec![0, 1, 2], ..projection };
        crate::base::seal::write(&folder.join(PROJECTION), &damaged).unwrap();
        Done::write(&folder, "address", &[RESULT, EPOCHS, PROJECTION]).unwrap();
        let (_, not_shown) = report(dir.path(), &gather(dir.path()).unwrap()).unwrap();
        assert!(not_shown.len() == 1 && not_shown[0].contains("it holds the label 2"), "{not_shown:?}");
    }

    /// The plots of memorisation show the row's measure; what training counts by the way says so.
    #[test]
    fn the_plot_of_memorisation_is_of_the_share_in_the_rows() {
        let dir = tempfile::tempdir().unwrap();
        let grid = write_study(dir.path(), &format!("{SPECS}[noise]\nrates = [0.0, 0.2, 0.4]\n"));
        for cell in grid.iter().filter(|c| c.noise_rate > 0.0) {
            let row = CellResult { memorised_fraction: Some(cell.noise_rate / 4.0), ..sample(cell, accuracy(cell)) };
            finish(&run_folder(dir.path(), &cell.name), &row, &epochs(cell));
        }
        let study = read::Study::read(dir.path(), &gather(dir.path()).unwrap()).unwrap();
        let line = study.line("phantom-covid", "symmetric", &study.series()[0], |r| r.memorised_fraction);
        assert_eq!(line.iter().map(|p| (p.x, p.y)).collect::<Vec<_>>(), [(20.0, 5.0), (40.0, 10.0)]);
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part} is not in the page"));
        let plot = at("phantom-covid: memorised against wrong labels (symmetric), %");
        assert!(at("<h2>Memorisation of wrong labels</h2>") < plot && plot < at("epoch by epoch</h3>"));
        assert!(at("epoch by epoch</h3>") < at("phantom-covid: while training against epoch, 40 % symmetric noise"));
    }

    #[test]
    fn noisy_validation_labels_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let grid = write_study(dir.path(), SPECS);
        let told = ["Validation labels had the same noise", "<th class=\"words\">validation labels</th>"];
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        assert!(told.iter().all(|t| !page.contains(t)));
        for cell in grid.iter().filter(|c| c.noise_rate > 0.0) {
            let noisy = crate::study::config::ValidationLabels::Noisy;
            let row = CellResult { validation_labels: noisy, ..sample(cell, accuracy(cell)) };
            finish(&run_folder(dir.path(), &cell.name), &row, &epochs(cell));
        }
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        assert!(told.iter().all(|t| page.contains(t)) && page.contains("<td class=\"words\">noisy</td>"));
    }

    /// One dataset is compared over its repeats, and how many there are stands beside the mean.
    #[test]
    fn the_headline_says_how_sure_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let one = "[data]\nspecs = [\"phantom:covid\"]\n[pretraining]\nmethods = [\"none\", \"simclr\"]\n";
        write_study(dir.path(), &format!("seeds = [0, 1, 2]\n{one}"));
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        let headline = page.split("<li><b>SimCLR</b>: ").nth(1).unwrap().split("</li>").next().unwrap();
        assert!(headline.contains(" ± ") && headline.contains("with clean labels (3 repeats)"), "{headline}");
        assert!(page.contains("mean over repeats"));
        let dir = tempfile::tempdir().unwrap();
        write_study(dir.path(), &format!("seeds = [0]\n{SPECS}"));
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        assert!(page.contains("with clean labels (3 datasets)") && page.contains("mean over datasets"));
    }

    #[test]
    fn the_table_names_methods_and_what_they_were_told() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{SPECS}[training]\nmethods = [\"cross_entropy\", \"co_teaching\"]\n");
        let grid = write_study(dir.path(), &text);
        let heading = "<th class=\"words\">told</th>";
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        assert!(
            page.contains("<td class=\"words\">Co-teaching</td>") && page.contains("<th class=\"words\">method</th>")
        );
        assert!(!page.contains(heading), "nobody was told anything");
        for cell in grid.iter().filter(|c| *c.method == *"co_teaching") {
            let result = CellResult { method_told: "noise rate".into(), ..sample(cell, accuracy(cell)) };
            finish(&run_folder(dir.path(), &cell.name), &result, &epochs(cell));
        }
        let page = files::read_text(&write(dir.path()).unwrap()).unwrap();
        assert!(page.contains(heading) && page.contains("<td class=\"words\">noise rate</td>"));
        assert!(page.contains("The method Co-teaching was told the noise rate."));
        assert_eq!(page.matches("<h2>Gain over random weights").count(), 1);
        assert!(page.contains("40 % symmetric noise</span>"));
    }
}
