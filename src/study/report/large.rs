//! The time in which a study of many cells is gathered, reported, checked, listed and merged grows with the number of
//! cells, and not with its square.

use super::{check_report, report};
use crate::base::seal;
use crate::study::folder::{Contents, Done, write_config};
use crate::study::names::{DONE, EPOCHS, RESULT};
use crate::study::results::tests::sample;
use crate::study::results::{EpochRecord, Phase, gather, run_folder, write_csv};
use crate::study::{Cell, Config, cells};
use std::path::Path;
use std::time::Instant;

/// How often the grid of 315 cells is repeated for the smaller study, by default twice: 80 makes 25,200 cells and, beside
/// them, 100,800.
const SEEDS: &str = "WGSLAB_LARGE_STUDY_SEEDS";

/// The cells of a seed: five sets, three pretrainings, two kinds of noise at four rates, three learners.
const GRID: usize = 5 * 3 * 7 * 3;

/// The config of so many seeds.
fn text(seeds: usize) -> String {
    let specs = ["fetal", "dermnet", "covid", "mura", "nct-crc"].map(|s| format!("\"phantom:{s}\"")).join(", ");
    let seeds: Vec<String> = (0..seeds).map(|seed| seed.to_string()).collect();
    format!(
        "seeds = [{}]\n[data]\nspecs = [{specs}]\n[pretraining]\nmethods = [\"none\", \"simclr\", \"moco\"]\n[noise]\nkinds = [\"symmetric\", \"class_dependent\"]\n\
         rates = [0.0, 0.3, 0.6, 0.9]\n[training]\nmethods = [\"cross_entropy\", \"elr\", \"gce\"]\n",
        seeds.join(", ")
    )
}

/// A finished cell's folder, written without waiting for the disk.
fn finish(dir: &Path, cell: &Cell) {
    let folder = run_folder(dir, &cell.name);
    std::fs::create_dir_all(&folder).unwrap();
    let helped = if *cell.pretraining == *"none" { 0.0 } else { 0.1 * cell.noise_rate };
    let result = sample(cell, 0.9 - 0.6 * cell.noise_rate + helped + 0.01 * ((cell.index * 7919) % 13) as f64 / 13.0);
    let epoch = EpochRecord {
        phase: Phase::Train,
        epoch: 1,
        loss: 1.0,
        lr: 0.01,
        skipped_steps: 0,
        train_accuracy: Some(0.5),
        wrong_label_memorised: (cell.noise_rate > 0.0).then_some(0.3),
        val_accuracy: Some(0.6),
        seconds: 1.0,
        images_per_s: 150.0,
        ..EpochRecord::default()
    };
    let epochs = serde_json::Value::Object(seal::sealed(&epoch).unwrap()).to_string() + "\n";
    let files = [(RESULT, serde_json::to_string_pretty(&result).unwrap() + "\n"), (EPOCHS, epochs)];
    let contents = files.iter().map(|(name, text)| {
        std::fs::write(folder.join(name), text).unwrap();
        let sha256 = crate::base::hash::sha256(text.as_bytes());
        (name.to_string(), Contents { bytes: text.len() as u64, sha256 })
    });
    let done = Done { address: "address".into(), files: contents.collect() };
    let done = serde_json::Value::Object(seal::sealed(&done).unwrap()).to_string();
    std::fs::write(folder.join(DONE), done).unwrap();
}

/// How long each part of the work on a finished study of so many seeds took, in seconds.
fn laps(seeds: usize) -> Vec<(&'static str, f64)> {
    let (dir, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    let config = Config::parse("t", &text(seeds)).unwrap();
    let grid = cells(&config);
    assert_eq!(grid.len(), GRID * seeds);
    write_config(dir, &config).unwrap();
    grid.iter().for_each(|cell| finish(dir, cell));
    let mut laps = Vec::new();
    let mut since = Instant::now();
    let mut lap = |what| {
        laps.push((what, since.elapsed().as_secs_f64()));
        since = Instant::now();
    };
    let found = gather(dir).unwrap();
    assert_eq!(found.cells.len(), grid.len());
    lap("gathered");
    write_csv(dir, &found).unwrap();
    lap("table");
    report(dir, &found).unwrap();
    lap("report");
    assert!(check_report(dir).unwrap() > 300);
    lap("checked");
    let standing = crate::study::standing(dir, &config, &cells(&config)).unwrap();
    assert!(standing.counts().contains(&("done", grid.len())), "{:?}", standing.counts());
    lap("listed");
    let merged = crate::study::merge(&[dir.to_path_buf()], whole.path()).unwrap();
    assert_eq!((merged.copied, merged.left_out), (grid.len(), Vec::new()));
    lap("merged");
    laps
}

/// Four times the cells take about four times as long; what grows with their square would take sixteen times as long. A busy
/// machine slows one of the two by chance, so that two more looks are taken before that is believed.
#[test]
fn a_study_of_four_times_the_cells_takes_about_four_times_as_long() {
    const MOST: f64 = 8.0;
    /// Seconds below which a part is too short to be compared.
    const SHORT: f64 = 0.2;
    let seeds = std::env::var(SEEDS).ok().map_or(2, |seeds| seeds.parse().unwrap());
    let mut slow = Vec::new();
    for look in 1..=3 {
        let (small, large) = (laps(seeds), laps(4 * seeds));
        let parts = small.iter().zip(&large).map(|(a, b)| (a.0, a.1, b.1));
        slow.clear();
        for (what, small, large) in parts {
            println!(
                "look {look}: {what} {small:.2} s for {} cells, {large:.2} s for {}",
                GRID * seeds,
                4 * GRID * seeds
            );
            if large > MOST * small.max(SHORT) {
                slow.push(format!("{what}: {small:.2} s and {large:.2} s"));
            }
        }
        if slow.is_empty() {
            return;
        }
    }
    panic!("four times the cells take more than {MOST} times as long: {slow:?}");
}
