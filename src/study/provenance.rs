//! What a stage's bits depend on, and their address: what the stage reads of the config, its data, the weights that it
//! starts from, the kernels that it launches, the program, the adapter and its driver. Nothing else is in the address,
//! so that a run goes on, and a pretraining is shared, wherever the bits would be the same.

use super::names::{ENVIRONMENT, KERNELS, REDO};
use super::settings::{apart, key_of, meant, stage_of};
use crate::base::hash::Hasher;
use crate::base::{Error, Result, files, seal};
use crate::device::Gpu;
use crate::device::tune::Table;
use crate::tape::{Recording, Schedule};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The results version. It is raised with any change of host code that moves the bits of a result: the order of
/// batches, which labels become wrong, initial weights, the handling of the last batch, decoding, evaluation. Kernels
/// need no such number, because their text is hashed. A test at the end of this file holds the results that it stands
/// for.
pub(super) const RESULTS: u32 = 4;

/// The form of addresses. It is raised with every change that moves addresses and no results, such as a change in how
/// kernels are hashed. Then an old folder is said to have another form, and not other settings.
const FORM: u32 = 2;

/// What made a folder. `environment.json` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Provenance {
    /// The hash of all other fields: 16 hex digits.
    pub address: String,
    /// [`FORM`]; 0 in folders that are older than this field.
    #[serde(default)]
    pub form: u32,
    /// What the stage reads of the config, with its seed.
    pub settings: Value,
    /// The hash of the images, and of the labels if the stage reads them.
    pub data_fingerprint: String,
    /// The address of the weights that the stage starts from; `random` without any.
    pub start: String,
    /// The hash of the addresses of the steps on this device. These hold the text of every kernel that is launched,
    /// with the edits of `--shaders`. Kernels that the stage does not use are not in it, so that editing them does not
    /// end a long run.
    pub kernels: String,
    /// The version of the results, [`RESULTS`].
    pub results: u32,
    /// The program's version.
    pub wgslab: String,
    /// The adapter's name.
    pub adapter: String,
    /// Its driver.
    pub driver: String,
    /// Vulkan, Metal or DX12.
    pub backend: String,
}

impl Provenance {
    /// The provenance of a stage that reads these settings and this data, and runs plans of these schedules.
    pub fn new(gpu: &Gpu, settings: Value, data: &str, start: &str, schedules: &[Schedule]) -> Result<Self> {
        let steps = schedules.iter().map(|s| Ok(Recording::on(gpu, s)?.address())).collect::<Result<Vec<_>>>()?;
        let adapter = gpu.adapter();
        let mut made = Provenance {
            address: String::new(),
            form: FORM,
            settings,
            data_fingerprint: data.to_string(),
            start: start.to_string(),
            kernels: steps.iter().fold(Hasher::new(), |all, step| all.part(step)).short(),
            results: RESULTS,
            wgslab: env!("CARGO_PKG_VERSION").to_string(),
            adapter: adapter.name.clone(),
            driver: adapter.driver.clone(),
            backend: adapter.backend.clone(),
        };
        made.address = Hasher::new().part(serde_json::to_vec(&made).map_err(unwritable)?).short();
        Ok(made)
    }

    /// What made a folder, finished or begun, by its `environment.json`.
    pub fn of(folder: &Path) -> Result<Self> {
        let path = folder.join(ENVIRONMENT);
        let before = seal::read::<Before>(&path).map_err(|why| Error::damaged(&path, why, REDO))?;
        Ok(before.made)
    }

    /// What `environment.json` holds: this provenance and `about`, an object for people.
    pub fn environment(&self, about: Value) -> Result<Value> {
        let mut record = serde_json::to_value(self).map_err(unwritable)?;
        if let (Some(record), Value::Object(about)) = (record.as_object_mut(), about) {
            record.extend(about);
        }
        Ok(record)
    }

    /// The hash of what the stage reads of the config.
    pub fn config_hash(&self) -> Result<String> {
        Ok(Hasher::new().part(serde_json::to_vec(&self.settings).map_err(unwritable)?).short())
    }

    /// The same without seeds: repeats have it in common.
    pub fn settings_hash(&self) -> Result<String> {
        let mut settings = self.settings.clone();
        if let Some(stage) = settings.get_mut("first_stage").and_then(Value::as_object_mut) {
            stage.remove("seed");
        }
        if let Some(stage) = settings.as_object_mut() {
            stage.remove("seed");
        }
        Ok(Hasher::new().part(serde_json::to_vec(&settings).map_err(unwritable)?).short())
    }

    /// What made a folder, the hash of its table of kernels and that of its edited shaders, by the text of its
    /// `environment.json`. `None` if the text does not say it.
    pub fn of_text(environment: &str) -> Option<(Self, Option<String>, Option<String>)> {
        let before = seal::parse::<Before>(environment).ok()?;
        Some((before.made, before.kernel_table, before.shaders.map(|s| s.hash)))
    }

    /// An error for a folder that something else made. It says what differs.
    pub fn another(&self, folder: &Path) -> Error {
        let path = folder.join(ENVIRONMENT);
        let before = match seal::read::<Before>(&path) {
            Ok(before) => before,
            Err(why) => return Error::damaged(&path, format!("{why}, and it says what made the folder"), REDO),
        };
        let [was, is] = [&before.made.settings, &self.settings].map(stage_of);
        if was != is && before.made.form == self.form {
            let folder = folder.display();
            return Error::Foreign(format!("{folder} holds {was}, and this is {is}; give this another --out"));
        }
        let what = self.differences(&before);
        let (folder, what) = (folder.display(), what.join(" and another "));
        Error::Foreign(format!(
            "{folder} was made with another {what}; go on with what it was made with, take another --out, or delete it \
             to start anew"
        ))
    }

    /// An error for the `folder` of a cell that started from the pretraining in `other`, where this pretraining is due. It
    /// says what differs between the two.
    pub fn another_start(&self, folder: &Path, other: &Path) -> Error {
        let before = seal::read::<Before>(&other.join(ENVIRONMENT));
        let told = |before: Before| format!("another {}", self.differences(&before).join(" and another "));
        let what = before.map_or("what its environment.json no longer tells".to_string(), told);
        let (folder, other) = (folder.display(), other.display());
        Error::Foreign(format!(
            "{folder} started from the pretraining in {other}, which was made with {what}; go on with what made it, \
             take another --out, or delete the cell's folder to make it anew"
        ))
    }

    fn differences(&self, before: &Before) -> Vec<String> {
        let table = before.kernel_table.is_some();
        let before = &before.made;
        if before.form != self.form {
            return vec!["version of wgslab, which told runs apart in another way".to_string()];
        }
        let device = |p: &Provenance| (p.adapter.clone(), p.driver.clone(), p.backend.clone());
        let (name, driver, backend) = device(before);
        let others = [
            (self.settings != before.settings, another_config(&before.settings, &self.settings)),
            (self.data_fingerprint != before.data_fingerprint, "version of the data".to_string()),
            (self.start != before.start, "backbone to start from".to_string()),
            (
                self.results != before.results,
                format!("version of results ({}, and this program's is {})", before.results, self.results),
            ),
            (self.wgslab != before.wgslab, format!("program version ({})", before.wgslab)),
            (device(self) != device(before), format!("adapter or driver ({name}, {driver}, {backend})")),
        ];
        let said: Vec<String> = others.into_iter().filter_map(|(differs, what)| differs.then_some(what)).collect();
        if !said.is_empty() {
            return said; // each of these may choose other kernels without any edit
        }
        if self.address == before.address {
            return vec!["address than its environment.json tells; it holds a file of another folder".to_string()];
        }
        if table {
            let lost = "table of kernels (it was tuned, and the kernels.json beside its study, or given with --kernels, \
                        is missing or another one)";
            return vec![lost.to_string()];
        }
        let edited = "text of the kernels (a file of shaders/ or --shaders that it uses, or which it uses, has changed \
                      since, and so may the results)";
        vec![edited.to_string()]
    }
}

/// "config", with the first settings that differ, as a config names them.
fn another_config(before: &Value, now: &Value) -> String {
    let one = |(path, a, b): &(String, Value, Value)| {
        let absent = || meant(path.rsplit('.').next().unwrap_or_default());
        let shown = |v: &Value| match v.is_null() {
            true => absent().map_or("none".to_string(), |v| v.to_string()),
            false => v.to_string(),
        };
        format!("{}: {}, now {}", key_of(now, path), shown(a), shown(b))
    };
    let differ: Vec<String> = apart(before, now).iter().map(one).collect();
    let more = if differ.len() > 3 { format!("; {} more", differ.len() - 3) } else { String::new() };
    let own = if differ.iter().any(|d| d.starts_with("--steps: ")) {
        "; a run of --steps is done after them, and the whole run, which begins with the same steps, needs another --out"
    } else {
        ""
    };
    format!("config ({}{more}; its own is in its config.toml{own})", differ[..differ.len().min(3)].join("; "))
}

/// The hash of the table of kernels with which a run or a study in `out` was begun. `None` if it had no table.
pub fn begun_with(out: &Path) -> Option<String> {
    let below = |name: &str| std::fs::read_dir(out.join(name)).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = ["pretraining", "runs"].into_iter().flat_map(below).map(|e| e.path()).collect();
    folders.push(out.to_path_buf());
    folders.sort();
    // All folders of a study have the same table. A damaged folder is reported when its turn comes.
    let before = folders.iter().find_map(|folder| seal::read::<Before>(&folder.join(ENVIRONMENT)).ok());
    before.and_then(|b| b.kernel_table)
}

/// It is an error to go on without the table of kernels with which the folders below `out` were made. Other variants
/// would run, and pretrainings would be made again beside those that are there.
pub(super) fn expect_table(out: &Path, ours: &Table) -> Result<()> {
    let Some(table) = begun_with(out) else { return Ok(()) };
    let none = ours.entries.is_empty();
    if !none && ours.hash() == table {
        return Ok(());
    }
    let path = out.join(KERNELS);
    let why = match (files::exists(&path)?, none) {
        (false, true) => "it is missing, and the study was begun with it",
        (true, true) => "it is of another adapter or holds no result, and the study was begun with another one",
        (true, false) => "it is another one than the study was begun with",
        (false, false) => {
            let (out, path) = (out.display(), path.display());
            return Err(Error::Usage(format!(
                "{out} was begun with another table of kernels; leave --kernels out and bring {path} back, or take another \
                 --out"
            )));
        }
    };
    Err(Error::damaged(&path, why, "bring the first one back, or take another --out"))
}

/// What an earlier `environment.json` says.
#[derive(Deserialize)]
struct Before {
    #[serde(flatten)]
    made: Provenance,
    /// The hash of the table of tuned kernels that the run used.
    #[serde(default)]
    kernel_table: Option<String>,
    /// The files of shaders that were edited.
    #[serde(default)]
    shaders: Option<Edited>,
}

/// What it says of edited shaders, beside their names.
#[derive(Deserialize)]
struct Edited {
    hash: String,
}

fn unwritable(e: serde_json::Error) -> Error {
    Error::Failed(format!("cannot write what a run depends on as JSON: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::device::{GpuOptions, Tree};
    use crate::study::results::{read_epochs, run_folder};
    use crate::study::testing::with_job;
    use crate::study::{Manner, Selection, cells};
    use crate::tape::Tape;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn settings_that_differ_are_named() {
        let before = json!({ "seed": 0, "optimization": { "optimizer": { "lr": 0.1, "name": "sgd" }, "epochs": 3 } });
        let mut now = json!({
            "seed": 0, "optimization": { "optimizer": { "lr": 0.2, "name": "sgd", "eta": 1.0 }, "epochs": 4 },
        });
        let due = "config (training.epochs: 3, now 4; training.optimizer.eta: none, now 1.0; training.optimizer.lr: 0.1, now 0.2; \
                   its own is in its config.toml)";
        assert_eq!(another_config(&before, &now), due);
        now["augmentation"] = json!({});
        now["steps"] = json!(4);
        let said = another_config(
            &json!({ "steps": 3, "augmentation": {}, "optimization": now["optimization"], "seed": 0 }),
            &now,
        );
        assert!(
            said.starts_with("config (--steps: 3, now 4; its own") && said.contains("needs another --out"),
            "{said}"
        );
        let many = json!(
            [0, 1, 2, 3, 4].map(|i| (format!("k{i}"), i)).into_iter().collect::<std::collections::BTreeMap<_, _>>()
        );
        assert!(another_config(&json!({}), &many).contains("k2: none, now 2; 2 more; its own"));
        // Keys that are left out of an address mean something.
        let [kept, falls] = [json!({"fix_prediction_lr": true}), json!({})].map(|own| json!({"settings": own}));
        assert!(another_config(&kept, &falls).contains("fix_prediction_lr: true, now false"));
        let [scaled, plain] = [json!({"lr_scaling": "linear"}), json!({})].map(|own| json!({"optimization": own}));
        assert!(another_config(&plain, &scaled).contains("lr_scaling: \"none\", now \"linear\""));
    }

    /// What host code decides for a tiny cell, and the cell's results. If this literal changes, raise [`RESULTS`] and
    /// write the new literal, so that no run goes on in a folder whose results would now differ.
    #[test]
    fn the_results_version_stands_for_these_results() {
        let text = "[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 16\nimage_size = 16\n\
                    [model]\nwidth = 0.125\n[noise]\nrates = [0.4]\n[pretraining]\nmethods = [\"simclr\"]\nepochs = 1\n\
                    batch_size = 8\nwarmup_epochs = 0\n[pretraining.simclr]\nprojection_dims = [8, 4]\n[training]\nepochs = 2\nbatch_size = 7\n";
        with_job(text, &Silent, |job| {
            let results = job.run(Selection::All, Manner::default()).unwrap().results;
            let [cell] = &cells(job.config)[..] else { panic!("one cell") };
            let set = job.load(&cell.spec).unwrap();
            let (given, classes) = (cell.given(&set.data, job.data_root).unwrap().train, set.data.classes.len());
            let recorded = crate::study::train::record(job, &set.train, cell, classes, 7).unwrap();
            let params = &recorded[0].params;
            let mut state = crate::tape::State::new();
            params.fill(job.gpu, &mut state, cell.seed).unwrap();
            let mut host = Hasher::new().part(&set.data.fingerprint);
            given.iter().for_each(|l| host.update(l.to_le_bytes()));
            for epoch in 0..3 {
                crate::study::stage::order(cell.seed, epoch, 24)
                    .iter()
                    .for_each(|i| host.update((*i as u64).to_le_bytes()));
            }
            for p in params.list() {
                host.update(&p.name);
                host.update(state.read(job.gpu, &p.name).unwrap());
            }
            assert_eq!((RESULTS, host.short().as_str()), (4, "cdebf07a4a213cba"), "raise RESULTS with this literal");
            // The device's results move a little with the driver. Another order of batches moves them much more.
            let folder = run_folder(job.out, &cell.name);
            let losses: Vec<f64> = read_epochs(&folder).unwrap().iter().map(|e| e.loss).collect();
            let due = [1.157145, 1.181548];
            let close = losses.iter().zip(due).all(|(l, d)| (l - d).abs() < 2e-3 * d);
            assert!(close && losses.len() == 2, "{losses:?} and not {due:?}: raise RESULTS with this literal");
            assert_eq!((results[0].train_images, results[0].test_images), (24, 9));
        });
    }

    /// Each way in which a table differs from the study's has its own sentence.
    #[test]
    fn a_table_of_kernels_that_is_not_the_study_s_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path();
        let table = |variant: &str| {
            let mut table = Table::new("a", "1");
            table
                .entries
                .insert("k".into(), crate::device::tune::TunedOp { variant: variant.into(), ..Default::default() });
            table
        };
        let (first, other, none) = (table("one"), table("two"), Table::default());
        assert!(expect_table(out, &none).is_ok() && begun_with(out).is_none());
        let made = json!({
            "address": "", "settings": {}, "data_fingerprint": "", "start": "", "kernels": "", "results": 1, "wgslab": "",
            "adapter": "", "driver": "", "backend": "", "kernel_table": first.hash(),
        });
        seal::write(&out.join("runs/a").join(ENVIRONMENT), &made).unwrap();
        assert_eq!(begun_with(out), Some(first.hash()));
        assert!(expect_table(out, &first).is_ok());
        let said = |ours: &Table| expect_table(out, ours).unwrap_err().to_string();
        assert!(said(&none).contains("kernels.json is damaged: it is missing"), "{}", said(&none));
        assert!(said(&other).contains("leave --kernels out and bring"), "{}", said(&other));
        other.save(&out.join(KERNELS)).unwrap();
        assert!(said(&other).contains("it is another one than the study"), "{}", said(&other));
        assert!(said(&none).contains("of another adapter"), "{}", said(&none));
    }

    #[test]
    fn edited_shaders_are_another_address() {
        with_job("", &Silent, |job| {
            let mut tape = Tape::new();
            let x = tape.fill([4], 1.0).unwrap();
            tape.output("x", x);
            let schedule = job.schedule(&tape).unwrap();
            let piece = schedule.kernels().next().unwrap().pieces[0];
            let file = job.out.join("edited.wgsl");
            std::fs::write(&file, format!("{}// edited\n", piece.text)).unwrap();
            let options = |tree: Tree| GpuOptions { shaders: Arc::new(tree), ..GpuOptions::default() };
            let made =
                |gpu: &Gpu| Provenance::new(gpu, json!({}), "d", "random", std::slice::from_ref(&schedule)).unwrap();
            let edited = Gpu::open(&options(Tree::default().with(piece.path, &file).unwrap())).unwrap();
            assert_ne!(made(job.gpu).address, made(&edited).address);
            let other = if piece.path == "training/sgd/step.wgsl" {
                "elementwise/fill/forward.wgsl"
            } else {
                "training/sgd/step.wgsl"
            };
            let unused = Gpu::open(&options(Tree::default().with(other, &file).unwrap())).unwrap();
            assert_eq!(made(job.gpu).address, made(&unused).address, "an edit of what it does not launch");
        });
    }

    #[test]
    fn a_folder_of_something_else_says_what_differs() {
        with_job("", &Silent, |job| {
            let mut tape = Tape::new();
            let x = tape.fill([4], 1.0).unwrap();
            tape.output("x", x);
            let made = |start: &str| {
                Provenance::new(job.gpu, json!({"a": 1}), "d", start, &[job.schedule(&tape).unwrap()]).unwrap()
            };
            let (ours, other) = (made("random"), made("b"));
            assert_eq!(ours, made("random"));
            assert_ne!(ours.address, other.address);
            let said = |made: &Provenance, folder: &str| {
                let path = job.out.join(folder);
                seal::write(&path.join(ENVIRONMENT), &made.environment(json!({"os": "any"})).unwrap()).unwrap();
                let e = ours.another(&path);
                assert_eq!(e.exit_code(), 2);
                e.to_string()
            };
            assert!(said(&other, "start").contains("with another backbone to start from; go on"));
            let pretrained = Provenance { settings: json!({"augmentation": {}}), ..ours.clone() };
            assert!(
                said(&pretrained, "stage")
                    .contains("holds a pretraining, and this is a training; give this another --out")
            );
            let edited = Provenance { kernels: "k".into(), address: "e".into(), ..ours.clone() };
            assert!(said(&edited, "edited").contains("another text of the kernels (a file of shaders/ or --shaders"));
            let earlier = Provenance { form: 0, settings: json!({}), kernels: "k".into(), ..ours.clone() };
            let e = said(&earlier, "earlier");
            assert!(e.contains("another version of wgslab, which") && !e.contains("config"), "{e}");
            // Another adapter runs other kernels without any edit.
            let e = said(&Provenance { driver: "x 7".into(), start: "c".into(), ..edited }, "two");
            assert!(e.contains("another backbone to start from and another adapter or driver (") && e.contains("x 7"));
            assert!(!e.contains("kernels"), "{e}");
            assert!(ours.another(&job.out.join("gone")).to_string().contains("environment.json"));
        });
    }
}
