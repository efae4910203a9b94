//! What a run writes is read back as it was written, or reported as damaged.

use super::*;
use crate::study::folder::{locked, write_config};
use crate::study::names::CONFIG;
use crate::study::{Cell, Config, cells};

/// A plausible result to write in tests.
pub(in crate::study) fn sample(cell: &crate::study::Cell, test_accuracy: f64) -> CellResult {
    let noisy = cell.noise_rate > 0.0;
    CellResult {
        dataset: cell.dataset.to_string(),
        backbone: cell.backbone.to_string(),
        pretraining: cell.pretraining.to_string(),
        noise_kind: cell.noise_kind.map_or("none".to_string(), |k| k.to_string()),
        noise_rate: cell.noise_rate,
        realised_noise_rate: cell.noise_rate * 0.99,
        noise_seed: None,
        validation_labels: Default::default(),
        noise_matrix: vec![vec![99, 1], vec![0, 100]],
        method: cell.method.to_string(),
        method_told: String::new(),
        protocol: cell.protocol,
        seed: cell.seed,
        test_accuracy,
        balanced_accuracy: test_accuracy - 0.02,
        macro_f1: test_accuracy - 0.03,
        auroc: Some((test_accuracy + 0.1).min(1.0)),
        mcc: Some(test_accuracy - 0.1),
        ece: Some(0.05),
        recall: vec![Some(test_accuracy), None],
        confusion: vec![vec![7, 3], vec![0, 0]],
        knn_accuracy: Some(test_accuracy - 0.2),
        knn_weighted_accuracy: Some(test_accuracy - 0.19),
        knn_neighbours: Some(20),
        knn_temperature: Some(0.07),
        fisher_ratio: Some(0.3),
        fisher_pairs: vec![vec![None, Some(0.4)], vec![Some(0.4), None]],
        linear_weight_decay: None,
        best_test_accuracy: None,
        best_test_epoch: None,
        best_val_accuracy: test_accuracy + 0.01,
        best_val_epoch: 6,
        precision: Default::default(),
        best_val_test_accuracy: Some(test_accuracy + 0.01),
        last5_test_accuracy: None,
        second_test_accuracy: None,
        ensemble_test_accuracy: None,
        memorised_fraction: noisy.then_some(0.4),
        mislabelled_as_true: noisy.then_some(0.5),
        mislabelled_as_other: noisy.then_some(0.1),
        selection_precision: None,
        selection_recall: None,
        estimated_transition: Vec::new(),
        pretraining_collapsed: None,
        classes: 6,
        train_images: 600,
        val_images: 60,
        test_images: 300,
        dropped_duplicates: 0,
        left_out_files: Some(0),
        epochs: 8,
        seconds: 9.5,
        adapter: "llvmpipe (LLVM 19.1.7, 256 bits)".to_string(),
        driver: "llvmpipe 25.0".to_string(),
        backend: "Vulkan".to_string(),
        wgslab: "0.1.0".to_string(),
        results_version: 4,
        kernel_table: String::new(),
        shaders: String::new(),
        config_hash: "0123456789abcdef".to_string(),
        settings_hash: String::new(),
    }
}

/// Writes a finished run into `folder`, as a stage does.
pub(in crate::study) fn finish(folder: &Path, result: &CellResult, epochs: &[EpochRecord]) {
    write_result(folder, result).unwrap();
    write_epochs(folder, epochs).unwrap();
    Done::write(folder, "address", &[RESULT, EPOCHS]).unwrap();
}

fn study() -> (tempfile::TempDir, Vec<Cell>) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::parse("t", "").unwrap();
    write_config(dir.path(), &config).unwrap();
    (dir, cells(&config))
}

#[test]
fn results_csv_has_a_row_per_finished_cell_in_the_grid_s_order() {
    let (dir, grid) = study();
    for cell in [&grid[3], &grid[0], &grid[1]] {
        finish(&run_folder(dir.path(), &cell.name), &sample(cell, 0.7), &[]);
    }
    std::fs::create_dir_all(run_folder(dir.path(), &grid[2].name)).unwrap(); // begun, not finished
    let all = gather(dir.path()).unwrap();
    let text = files::read_text(&write_csv(dir.path(), &all).unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with(
        "dataset,backbone,pretraining,noise_kind,noise_rate,realised_noise_rate,method,method_told,protocol,seed,test_accuracy,"
    ));
    assert!(lines[0].contains(",dropped_duplicates,left_out_files,"));
    assert!(lines[0].contains(",knn_accuracy,") && lines[0].contains(",seconds,"));
    assert!(lines[1].starts_with("phantom-covid,resnet18,none,none,0.0,"));
    assert!(lines[3].starts_with("phantom-covid,resnet18,simclr,symmetric,0.4,"));
    assert_eq!(lines.len(), 4);
    assert_eq!(all.cells[2].1, sample(&grid[3], 0.7));
    assert!(all.left_out.is_empty());
    // A result without `done`: the run was stopped just before its end, or `done` is lost. Its row is never dropped
    // silently.
    write_result(&run_folder(dir.path(), &grid[2].name), &sample(&grid[2], 0.7)).unwrap();
    let all = gather(dir.path()).unwrap();
    assert!(all.cells.len() == 3 && all.left_out[0].contains("`wgslab study run` finishes it"), "{:?}", all.left_out);
}

#[test]
fn a_damaged_result_is_left_out_and_told() {
    let (dir, grid) = study();
    let folder = |i: usize| run_folder(dir.path(), &grid[i].name);
    assert_eq!(gather(dir.path()).unwrap_err().exit_code(), 4);
    (0..2).for_each(|i| finish(&folder(i), &sample(&grid[i], 0.7), &[]));
    let path = folder(0).join(RESULT);
    let whole = files::read_text(&path).unwrap();
    let broken: [&dyn Fn(); 5] = [
        &|| std::fs::write(&path, whole.replace("0.7", "7.5")).unwrap(),
        &|| std::fs::write(&path, "").unwrap(),
        &|| std::fs::remove_file(&path).unwrap(),
        &|| std::fs::remove_file(folder(0).join(EPOCHS)).unwrap(),
        &|| finish(&folder(0), &sample(&grid[1], 0.7), &[]), // another cell's files
    ];
    for (i, break_it) in broken.iter().enumerate() {
        finish(&folder(0), &sample(&grid[0], 0.7), &[]);
        break_it();
        let all = gather(dir.path()).unwrap();
        assert_eq!(all.cells.len(), 1, "{i}");
        assert!(all.left_out.len() == 1 && all.left_out[0].contains("--redo-damaged"), "{i}: {:?}", all.left_out);
        assert!(all.left_out[0].contains(&grid[0].name), "{:?}", all.left_out);
    }
    let config = dir.path().join(CONFIG);
    for text in ["", "name = \"other\"\n"] {
        std::fs::write(&config, text).unwrap();
        assert!(gather(dir.path()).unwrap_err().to_string().contains("config.toml is damaged"));
    }
}

#[test]
fn nan_is_no_result() {
    let (dir, grid) = study();
    let folder = run_folder(dir.path(), &grid[0].name);
    write_result(&folder, &sample(&grid[0], 0.5)).unwrap();
    let before = files::read_text(&folder.join(RESULT)).unwrap();
    let e = write_result(&folder, &sample(&grid[0], f64::NAN)).unwrap_err();
    assert!(e.to_string().contains("not a number"), "{e}");
    assert_eq!(files::read_text(&folder.join(RESULT)).unwrap(), before, "left as it was");
}

fn record() -> EpochRecord {
    EpochRecord {
        phase: Phase::Train,
        epoch: 1,
        loss: 0.1 + 0.2,
        lr: 1e-3,
        skipped_steps: 2,
        train_accuracy: Some(0.5),
        val_accuracy: Some(1.0 / 3.0),
        seconds: 0.25,
        images_per_s: 640.0,
        ..EpochRecord::default()
    }
}

#[test]
fn epochs_labels_and_pictures_read_back_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let epoch = record();
    let two = [epoch.clone(), EpochRecord { epoch: 2, ..epoch.clone() }];
    write_epochs(dir.path(), &two).unwrap();
    assert_eq!(read_epochs(dir.path()).unwrap(), two);
    let path = dir.path().join(EPOCHS);
    let text = files::read_text(&path).unwrap();
    let second = text.lines().nth(1).unwrap();
    for (changed, say) in [
        (text.replacen("640", "641", 1), "line 1: its checksum differs"),
        (text[..text.len() - 9].to_string(), "line 2: "),
        (format!("{second}\n"), "line 1 is of epoch 2"),
        ("{\"phase\":\"train\"}\n".to_string(), "line 1: it has no checksum"),
    ] {
        std::fs::write(&path, changed).unwrap();
        let e = read_epochs(dir.path()).unwrap_err().to_string();
        assert!(e.contains("epochs.jsonl is damaged") && e.contains(say), "{e}");
    }

    let rows = [LabelRow { name: "a, \"b\".png".into(), clean: 1, given: 0 }];
    let path = dir.path().join("labels.csv");
    write_labels(&path, &rows).unwrap();
    assert_eq!(read_labels(&path).unwrap(), rows);
    assert!(files::read_text(&path).unwrap().starts_with("name,clean,given\n"));
    std::fs::write(&path, "name,clean,given\nx,one,2\n").unwrap();
    assert!(read_labels(&path).unwrap_err().to_string().contains("labels.csv"));

    let pictures = [Picture { png: vec![1, 2, 3], clean: "normal".into(), given: "wrong".into() }];
    write_pictures(dir.path(), "d", &pictures).unwrap();
    assert_eq!(read_pictures(dir.path(), "d").unwrap(), pictures);
    assert!(read_pictures(dir.path(), "other").unwrap().is_empty());
}

/// Another process has written some files, but not the last one. Nothing is damaged.
#[test]
fn what_another_process_is_writing_is_not_damaged() {
    let (dir, grid) = study();
    let folder = |i: usize| run_folder(dir.path(), &grid[i].name);
    finish(&folder(0), &sample(&grid[0], 0.7), &[]);
    locked(&folder(1), || {
        write_result(&folder(1), &sample(&grid[1], 0.7))?; // done comes next
        let all = gather(dir.path())?;
        assert!(all.cells.len() == 1 && all.left_out.is_empty(), "{:?}", all.left_out);
        Ok(())
    })
    .unwrap();
    assert_eq!(gather(dir.path()).unwrap().left_out.len(), 1, "it was stopped there");

    let strip = dir.path().join("pictures/d");
    locked(&strip, || {
        files::write_atomic(&strip.join("00.png"), b"png")?; // labels.json comes last
        assert!(read_pictures(dir.path(), "d")?.is_empty());
        Ok(())
    })
    .unwrap();
    let e = read_pictures(dir.path(), "d").unwrap_err();
    assert!(matches!(e, Error::Damaged { .. }) && e.to_string().contains("labels.json"), "{e}");
}

#[test]
fn a_file_in_the_place_of_a_cell_is_told() {
    let (dir, grid) = study();
    finish(&run_folder(dir.path(), &grid[0].name), &sample(&grid[0], 0.7), &[]);
    let runs = dir.path().join("runs");
    std::fs::write(runs.join(&grid[1].name), "").unwrap();
    std::fs::write(runs.join(".DS_Store"), "").unwrap();
    let all = gather(dir.path()).unwrap();
    assert!(all.cells.len() == 1 && all.left_out.len() == 1, "{:?}", all.left_out);
    assert!(all.left_out[0].contains(&grid[1].name) && all.left_out[0].contains("no folder"), "{:?}", all.left_out);
}

/// A report shows epochs, so they are compared whole whatever their size. Otherwise a run would say that all is well,
/// and the report would not.
#[test]
fn epochs_are_compared_whole_whatever_their_size() {
    let (dir, grid) = study();
    let folder = run_folder(dir.path(), &grid[0].name);
    let epochs: Vec<EpochRecord> = (1..=6000).map(|epoch| EpochRecord { epoch, ..record() }).collect();
    finish(&folder, &sample(&grid[0], 0.7), &epochs);
    let path = folder.join(EPOCHS);
    let text = files::read_text(&path).unwrap();
    assert!(text.len() > 1 << 20, "{}", text.len());
    std::fs::write(&path, text.replacen("640", "641", 1)).unwrap();
    let e = Done::read(&folder).unwrap().unwrap().check(&folder).unwrap_err();
    assert!(e.to_string().contains("epochs.jsonl is damaged"), "{e}");
}
