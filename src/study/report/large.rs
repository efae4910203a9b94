//! A study of many cells is gathered, reported, checked, listed and merged in a time that grows with their number alone.

use super::{check_report, report};
use crate::base::seal;
use crate::study::folder::{Contents, Done, write_config};
use crate::study::names::{DONE, EPOCHS, RESULT};
use crate::study::results::tests::sample;
use crate::study::results::{EpochRecord, Phase, gather, run_folder, write_csv};
use crate::study::{Cell, Config, cells};
use std::path::Path;
use std::time::Instant;

/// How often the grid of 2,565 cells is repeated; 39 makes 100,035.
const SEEDS: &str = "WGSLAB_LARGE_STUDY_SEEDS";

/// Five sets, nine pretrainings, two kinds of noise at ten rates, three learners.
fn text(seeds: usize) -> String {
    let specs = ["fetal", "dermnet", "covid", "mura", "nct-crc"].map(|s| format!("\"phantom:{s}\"")).join(", ");
    let seeds: Vec<String> = (0..seeds).map(|seed| seed.to_string()).collect();
    format!(
        "seeds = [{}]\n[data]\nspecs = [{specs}]\n[pretraining]\nmethods = [\"none\", \"simclr\", \"moco\", \"barlow_twins\", \
         \"rotation\", \"jigsaw\", \"jigmag\", \"vae\", \"bigbigan\"]\n[noise]\nkinds = [\"symmetric\", \"class_dependent\"]\n\
         rates = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]\n[training]\nmethods = [\"cross_entropy\", \"elr\", \"gce\"]\n",
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

#[test]
fn a_large_study_is_gathered_reported_listed_and_merged_in_a_moment() {
    let seeds = std::env::var(SEEDS).ok().map_or(1, |seeds| seeds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let config = Config::parse("t", &text(seeds)).unwrap();
    let begun = Instant::now();
    let mut lap = begun;
    let mut told = |what: &str| {
        println!("{what}: {:.1} s", lap.elapsed().as_secs_f64());
        lap = Instant::now();
    };
    let grid = cells(&config);
    told(&format!("{} cells", grid.len()));
    write_config(dir, &config).unwrap();
    grid.iter().for_each(|cell| finish(dir, cell));
    told("written");
    let found = gather(dir).unwrap();
    told("gathered");
    assert_eq!(found.cells.len(), 2565 * seeds);
    write_csv(dir, &found).unwrap();
    told("table");
    report(dir, &found).unwrap();
    told("report");
    assert!(check_report(dir).unwrap() > 1000);
    told("checked");
    let standing = crate::study::standing(dir, &config, &grid).unwrap();
    assert!(standing.counts().contains(&("done", 2565 * seeds)), "{:?}", standing.counts());
    told("listed");
    let whole = tempfile::tempdir().unwrap();
    let merged = crate::study::merge(&[dir.to_path_buf()], whole.path()).unwrap();
    assert_eq!((merged.copied, merged.left_out), (2565 * seeds, Vec::new()));
    told("merged");
    // At a hundred times the cells, what grows with their square would take hours.
    assert!(begun.elapsed().as_secs() < 120 * seeds as u64, "{:?}", begun.elapsed());
}
