//! Tests of the shapes of methods, learners and kinds with ones that only tests know. Each runs through the real
//! stages, is stopped and started again, and ends with the same bits.

use super::evaluate::evaluate_run;
use super::metrics::of_mean;
use super::predictions::tests::compare;
use super::results::{CellResult, read_epochs};
use super::{Config, Job, Manner, Progress, Selection, Shared};
use crate::base::Error;
use crate::base::progress::Silent;
use crate::data::Split;
use crate::device::adapter::adapters;
use crate::device::tune::Table;
use crate::device::{Gpu, GpuOptions};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Raises `stop` at the `at`-th step that is reported.
struct Stopper<'a> {
    stop: &'a AtomicBool,
    left: AtomicUsize,
}

impl Progress for Stopper<'_> {
    fn stage(&self, _name: &str, _total: u64, _done: u64, _unit: &'static str) {}
    fn step(&self, _done: u64, note: &str) {
        // Decoding also reports steps.
        if note.starts_with("epoch") && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn done(&self, _line: &str) {}
    fn note(&self, _line: &str) {}
}

fn config(pretraining: &str, training: &str) -> Config {
    let model = match pretraining {
        "mae" => "arch = \"vit_tiny\"\npatch_size = 8\nglobal_pool = \"avg\"",
        _ => "width = 0.0625",
    };
    let text = format!(
        "[data]\nspecs = [\"phantom:covid?train=26&val=8&test=8\"]\nstore_size = 16\nimage_size = 16\n\
         [model]\n{model}\n[pretraining]\nmethods = [\"{pretraining}\"]\nepochs = 3\nbatch_size = 8\nwarmup_epochs = 1\n\
         moco.queue_size = 20\nmoco.batch_norm_splits = 2\nmoco.projection_dims = [16, 8]\n\
         bigbigan.batch_size = 8\nbigbigan.latent_dim = 6\nbigbigan.encoder_dims = [8]\nbigbigan.generator_dims = [4]\n\
         bigbigan.image_discriminator_dims = [4]\nbigbigan.latent_discriminator_dims = [4]\n\
         bigbigan.joint_discriminator_dims = [4]\n\
         mae.decoder_embed_dim = 8\nmae.decoder_depth = 1\nmae.decoder_num_heads = 2\n\
         [noise]\nrates = [0.4]\n[training]\nmethods = [\"{training}\"]\nepochs = 3\nbatch_size = 8\nlast_batch = \"keep\"\n\
         [evaluation]\nbatch_size = 8\nknn_neighbours = 3\n[run]\ncheckpoint_seconds = 1000\nloss_every = 2\n"
    );
    Config::parse("tenants.toml", &text).unwrap()
}

/// Runs the study into `out`. It is stopped after each number of reported steps in `stops`, and started again.
fn run(gpu: &Gpu, config: &Config, out: &Path, stops: &[usize]) {
    run_in_turn(gpu, &[config], out, stops);
}

/// As [`run`], with one config after the other.
fn run_in_turn(gpu: &Gpu, configs: &[&Config], out: &Path, stops: &[usize]) {
    for (at, config) in stops.iter().copied().chain([usize::MAX]).zip(configs.iter().cycle().copied()) {
        let stop = AtomicBool::new(false);
        let progress = Stopper { stop: &stop, left: AtomicUsize::new(at) };
        let (progress, kernels) = (&progress, Table::default());
        let job = Job { gpu, config, out, data_root: out, progress, stop: &stop, kernels, shared: &Shared::default() };
        match job.run(Selection::All, Manner::default()) {
            Ok(done) => assert!(at == usize::MAX && done.damaged.is_empty(), "it was to be stopped at {at}"),
            Err(e) => assert!(at < usize::MAX && matches!(e, Error::TryAgain(_)), "{e}"),
        }
    }
}

/// Every file of weights below `out`, by its path, and the records of each epoch without times.
fn bits(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(out).into_iter().map(Result::unwrap) {
        let (path, place) = (entry.path(), entry.path().strip_prefix(out).unwrap().to_path_buf());
        if path.extension().is_some_and(|e| e == "safetensors") {
            all.insert(place, std::fs::read(path).unwrap());
        } else if path.ends_with("epochs.jsonl") {
            let records = read_epochs(path.parent().unwrap()).unwrap();
            let timeless = records.into_iter().map(|r| super::EpochRecord { seconds: 0.0, images_per_s: 0.0, ..r });
            all.insert(place, format!("{:?}", timeless.collect::<Vec<_>>()).into_bytes());
        }
    }
    all
}

/// The f32 tensors of a file.
fn tensors(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let values = |t: safetensors::tensor::TensorView<'_>| bytemuck::pod_collect_to_vec(t.data());
    file.tensors().into_iter().map(|(name, tensor)| (name, values(tensor))).collect()
}

fn one_file(out: &Path, stage: &str, name: &str) -> PathBuf {
    let folder = std::fs::read_dir(out.join(stage)).unwrap().next().unwrap().unwrap().path();
    folder.join(name)
}

fn with_gpu(test: impl FnOnce(&Gpu)) {
    if adapters(None).is_ok_and(|list| list.is_empty()) {
        assert!(std::env::var("REQUIRE_GPU").as_deref() != Ok("1"), "a test of a study needs an adapter");
        std::io::stderr().write_all(b"SKIPPED: no adapter. REQUIRE_GPU=1 makes this a failure.\n").unwrap();
        return;
    }
    test(&Gpu::open(&GpuOptions::default()).unwrap());
}

/// A study that is stopped in each stage, within an epoch and at its end, ends with the bits of a run that was not
/// stopped.
fn same_bits(pretraining: &str, training: &str, stops: &[usize], check: impl FnOnce(&Path)) {
    let config = config(pretraining, training);
    same_bits_of(&config, &[&config], stops, check);
}

/// As [`same_bits`], with one config after the other for the parts of the stopped run.
fn same_bits_of(config: &Config, configs: &[&Config], stops: &[usize], check: impl FnOnce(&Path)) {
    with_gpu(|gpu| {
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(gpu, config, whole.path(), &[]);
        run_in_turn(gpu, configs, parts.path(), stops);
        let (whole_bits, parts_bits) = (bits(whole.path()), bits(parts.path()));
        assert_eq!(whole_bits.keys().collect::<Vec<_>>(), parts_bits.keys().collect::<Vec<_>>());
        assert!(whole_bits.len() >= 3, "{:?}", whole_bits.keys());
        for (place, bytes) in &whole_bits {
            assert!(parts_bits[place] == *bytes, "{} differs", place.display());
        }
        check(whole.path());
    });
}

#[test]
fn a_teacher_follows_its_student_by_a_ramped_momentum() {
    same_bits("test_teacher", "cross_entropy", &[1, 2, 4, 1], |out| {
        let state = one_file(out, "pretraining", "state.safetensors");
        let saved = tensors(&state);
        let names: Vec<&String> = saved.keys().collect();
        assert!(names.iter().any(|n| *n == "teacher.backbone.conv1.weight"), "{names:?}");
        assert!(
            names.iter().filter(|n| n.contains("teacher")).all(|n| !n.contains("adam")),
            "it is not trained: {names:?}"
        );
        let epochs = read_epochs(state.parent().unwrap()).unwrap();
        let [.., last] = &epochs[..] else { panic!("no epochs") };
        let (match_, size) = (last.terms["match"], last.terms["size"]);
        assert!((match_ + size - last.loss).abs() < 1e-5 && size > 0.0, "{last:?}");
        // The backbone that is passed on is only the student's.
        let handed = tensors(&one_file(out, "pretraining", "backbone.safetensors"));
        assert!(handed.keys().all(|n| !n.contains("teacher")), "{:?}", handed.keys());
    });
}

/// A listed method whose state is more than weights: a key network, a queue and its position, and a shuffle that each
/// step draws.
#[test]
fn a_queue_goes_on_where_it_stopped() {
    same_bits("moco", "cross_entropy", &[1, 2, 4, 1], |out| {
        let saved = std::fs::read(one_file(out, "pretraining", "state.safetensors")).unwrap();
        let saved = safetensors::SafeTensors::deserialize(&saved).unwrap();
        let pointer: Vec<u32> = bytemuck::pod_collect_to_vec(saved.tensor("queue_pointer").unwrap().data());
        assert_eq!(pointer, [3 * 3 * 8 % 20], "9 steps of 8 keys in a queue of 20");
        let queue: Vec<f32> = bytemuck::pod_collect_to_vec(saved.tensor("queue").unwrap().data());
        let lengths = queue.chunks(8).map(|row| row.iter().map(|v| v * v).sum::<f32>().sqrt());
        assert!(lengths.into_iter().all(|l| (l - 1.0).abs() < 1e-4), "keys have length 1");
    });
}

/// A vision transformer through all stages: masks that are drawn for each image and epoch, positions that pretraining
/// fixes and training changes, timm's names, and a classifier that evaluation finds.
#[test]
fn hidden_patches_go_on_where_they_stopped() {
    same_bits("mae", "cross_entropy", &[4], |out| {
        let handed = tensors(&one_file(out, "pretraining", "backbone.safetensors"));
        assert_eq!(handed.len(), 12 * 12 + 6, "timm's tensors and no decoder: {:?}", handed.keys());
        assert!(handed.contains_key("fc_norm.weight"));
        let positions = &handed["pos_embed"];
        assert!(
            positions.len() == 5 * 192 && positions[..192].iter().all(|v| *v == 0.0),
            "the class token's are zeros"
        );
        assert_eq!(positions[192..240], [0.0; 48], "the first column's sines");
        let trained = tensors(&one_file(out, "runs", "backbone.safetensors"));
        assert_ne!(trained["pos_embed"], *positions);
        assert_eq!(trained["head.weight"].len(), 192 * trained["head.bias"].len());
        with_gpu(|gpu| {
            let (config, stop, progress) = (config("mae", "cross_entropy"), AtomicBool::new(false), &Silent);
            let (kernels, shared) = (Table::default(), &Shared::default());
            let job = Job { gpu, config: &config, out, data_root: out, progress, stop: &stop, kernels, shared };
            let folder = one_file(out, "runs", "");
            let found = evaluate_run(&job, &config.data.specs[0], Split::Test, &folder).unwrap();
            assert!(found.images == 8 && found.knn_accuracy.is_some(), "{found:?}");
        });
    });
}

/// A run may go on with or without `run.recompute`. The setting is not in its address, since it changes no bit.
#[test]
fn a_run_goes_on_with_values_kept_or_computed_again() {
    let kept = config("simclr", "cross_entropy");
    let mut again = kept.clone();
    again.run.recompute = true;
    same_bits_of(&kept, &[&again, &kept], &[1, 2, 4, 1], |_| {});
}

#[test]
fn two_players_take_turns_with_optimizers_of_their_own() {
    same_bits("test_duel", "cross_entropy", &[1, 2, 4, 1], |out| {
        let state = one_file(out, "pretraining", "state.safetensors");
        let saved = tensors(&state);
        // In 3 epochs of 3 steps, each step takes the critic twice.
        let steps = |name: &str| saved[name][0];
        assert_eq!((steps("critic.optim.step"), steps("encoder.optim.step")), (18.0, 9.0));
        let epochs = read_epochs(state.parent().unwrap()).unwrap();
        assert!(epochs.iter().all(|e| e.terms.keys().eq(["encoder.loss"])), "{epochs:?}");
    });
}

/// A listed method with turns: each turn has its own draws and dropout, there are vectors of spectral norm, and every
/// turn moves the statistics. It is stopped within the second epoch, and less often than the others, because its step
/// has many kernels to compile.
#[test]
fn a_generator_and_its_discriminators_go_on_where_they_stopped() {
    same_bits("bigbigan", "cross_entropy", &[3, 1], |out| {
        let state = one_file(out, "pretraining", "state.safetensors");
        let saved = tensors(&state);
        let steps = |name: &str| saved[name][0];
        assert_eq!((steps("discriminators.optim.step"), steps("generator.optim.step")), (18.0, 9.0));
        let vector = &saved["discriminators.joint.score.weight_v"];
        assert!((vector.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-4, "{vector:?}");
        let epochs = read_epochs(state.parent().unwrap()).unwrap();
        let names = ["discriminators.s_x", "discriminators.s_xz", "discriminators.s_z", "generator.loss"];
        let more = ["generator.s_x", "generator.s_xz", "generator.s_z"];
        assert!(epochs.iter().all(|e| e.terms.keys().eq(names.iter().chain(&more).copied())), "{epochs:?}");
        let [.., last] = &epochs[..] else { panic!("no epochs") };
        let sum: f64 = names[..3].iter().map(|n| last.terms[*n]).sum();
        assert!((sum - last.loss).abs() < 1e-5, "{last:?}");
    });
}

#[test]
fn a_method_has_inputs_and_a_head_and_a_recipe_of_its_own() {
    same_bits("test_pretext", "cross_entropy", &[1, 2, 4, 1], |out| {
        let state = one_file(out, "pretraining", "state.safetensors");
        let saved = tensors(&state);
        let names: Vec<&String> = saved.keys().collect();
        assert!(names.iter().any(|n| *n == "pretext.0.weight"), "{names:?}");
        assert!(names.iter().all(|n| *n != "optim.step"), "its table says sgd, which counts no steps: {names:?}");
    });
}

#[test]
fn a_learner_has_two_networks_and_plans_each_epoch_from_the_losses_of_the_last() {
    same_bits("none", "test_pair", &[1, 2, 1], |out| {
        let state = one_file(out, "runs", "state.safetensors");
        let saved = tensors(&state);
        let names: Vec<&String> = saved.keys().collect();
        for due in ["second.backbone.fc.weight", "sample_loss", "sample_loss.second", "sample_loss_before.second"] {
            assert!(names.iter().any(|n| *n == due), "{due} of {names:?}");
        }
        let [first, second] = ["sample_loss", "sample_loss.second"].map(|n| saved[n].clone());
        assert!(first.len() == 26 && first.iter().chain(&second).all(|l| *l > 0.0), "{first:?}");
        assert_ne!(first, second, "networks of their own");
        assert_ne!(first, saved["sample_loss_before"]);
        let epochs = read_epochs(state.parent().unwrap()).unwrap();
        assert!(epochs.iter().all(|e| e.terms.keys().eq(["second.loss"])), "{epochs:?}");
        // Each image counts as one, whatever its weight in the plan.
        let right = epochs.iter().map(|e| 26.0 * e.train_accuracy.unwrap());
        assert!(right.clone().all(|n| (n - n.round()).abs() < 1e-6 && n <= 26.0), "{:?}", right.collect::<Vec<_>>());
    });
}

/// The listed learners whose state is more than weights, or whose epochs are not a shuffle of all images.
#[test]
fn targets_divisions_and_draws_go_on_where_they_stopped() {
    let mut config = config("none", "elr");
    config.training.methods =
        ["elr_plus", "elr", "dividemix", "co_teaching", "cross_entropy"].map(String::from).to_vec();
    let mut set = |method: &str, key: &str, value: toml::Value| {
        config.training.tables.get_mut(method).unwrap().insert(key.to_string(), value);
    };
    set("dividemix", "warm_up", 1.into());
    set("cross_entropy", "sampling", "balanced".into());
    same_bits_of(&config, &[&config], &[1, 3, 3, 2, 5, 3, 2], |out| {
        let folder = |method: &str| {
            let mut all = std::fs::read_dir(out.join("runs")).unwrap().map(|f| f.unwrap().path());
            all.find(|f| f.to_string_lossy().contains(&format!("__{method}__"))).unwrap()
        };
        let saved = |method: &str| tensors(&folder(method).join("state.safetensors"));
        let targets = saved("elr")["elr_targets"].clone();
        let classes = targets.len() / 26;
        // Each image was seen in 3 epochs, so its targets sum to 1 − 0.7³.
        let sums = targets.chunks(classes).map(|row| row.iter().sum::<f32>());
        assert!(sums.into_iter().all(|s| (s - 0.657).abs() < 1e-3), "{targets:?}");
        // Two networks, their weight averages, and the targets of each.
        let both = saved("elr_plus");
        for name in ["backbone", "second.backbone", "average.backbone", "second_average.backbone"] {
            assert!(both.contains_key(&format!("{name}.conv1.weight")), "{name} of {:?}", both.keys());
        }
        let tables: Vec<&Vec<f32>> = both.iter().filter(|(n, _)| n.contains("elr_targets")).map(|(_, t)| t).collect();
        assert!(tables.len() == 2 && tables[0] != tables[1] && tables[0].len() == targets.len());
        let terms = |method: &str| read_epochs(&folder(method)).unwrap().last().unwrap().terms.clone();
        let due = ["labelled", "second.labelled", "second.loss", "second.unlabelled", "unlabelled"];
        assert!(terms("dividemix").keys().eq(due), "{:?}", terms("dividemix"));
        assert!(terms("co_teaching").keys().eq(["first", "second"]), "{:?}", terms("co_teaching"));
        // The rows of results agree with the saved predictions, for both networks if there are two.
        let row = |method: &str| -> CellResult {
            serde_json::from_str(&std::fs::read_to_string(folder(method).join("result.json")).unwrap()).unwrap()
        };
        for method in ["elr_plus", "elr", "dividemix", "co_teaching", "cross_entropy"] {
            let (row, epochs) = (row(method), read_epochs(&folder(method)).unwrap());
            let saved = compare(&folder(method), &row);
            let tests: Vec<f64> = epochs.iter().map(|e| e.test_accuracy.unwrap()).collect();
            assert_eq!(row.test_accuracy, tests[2], "{method}");
            assert_eq!(row.best_test_accuracy, tests.iter().copied().reduce(f64::max));
            assert_eq!(row.best_val_test_accuracy, Some(tests[row.best_val_epoch - 1]));
            let selects = ["dividemix", "co_teaching"].contains(&method);
            let two = selects || method == "elr_plus";
            assert_eq!(selects, epochs.iter().all(|e| e.selection_precision.is_some() && e.selection_recall.is_some()));
            assert_eq!((two, two), (row.second_test_accuracy.is_some(), row.ensemble_test_accuracy.is_some()));
            let Some(second) = saved.second else { continue };
            let (k, from) = (row.classes, saved.labels.len() - row.test_images);
            let of = |logits: &[f32]| logits[from * k..].to_vec();
            let both = [of(&saved.logits), of(&second)];
            let due = of_mean(&[&both[0], &both[1]], &saved.labels[from..], k).unwrap();
            assert_eq!(row.ensemble_test_accuracy, Some(due));
            assert_ne!(saved.logits, second, "another network");
        }
        // In the warm-up every label counts as right: all images are selected, those with wrong labels, too.
        let warm = &read_epochs(&folder("dividemix")).unwrap()[0];
        assert!(warm.selection_recall == Some(1.0) && warm.selection_precision.unwrap() < 1.0, "{warm:?}");
        let told = |method: &str| std::fs::read_to_string(folder(method).join("result.json")).unwrap();
        assert!(told("co_teaching").contains("\"method_told\": \"noise rate\""));
        assert!(told("elr").contains("\"method_told\": \"\""));
    });
}

#[test]
fn every_network_starts_from_the_pretrained_backbone() {
    with_gpu(|gpu| {
        let mut config = config("simclr", "test_pair");
        config.pretraining.optimization.epochs = 1;
        config.training.optimization.epochs = 0;
        config.noise.rates = vec![0.0];
        let dir = tempfile::tempdir().unwrap();
        run(gpu, &config, dir.path(), &[]);
        let learnt = tensors(&one_file(dir.path(), "pretraining", "backbone.safetensors"));
        let state = tensors(&one_file(dir.path(), "runs", "state.safetensors"));
        let weight = "layer1.0.conv1.weight";
        assert_eq!(state[&format!("backbone.{weight}")], learnt[weight]);
        assert_eq!(state[&format!("second.backbone.{weight}")], learnt[weight]);
        assert_ne!(state["second.backbone.fc.weight"], state["backbone.fc.weight"], "classifiers of their own");
    });
}

#[test]
fn turns_that_cannot_be_taken_are_refused() {
    use crate::nn::Turn;
    use crate::study::turns::checked;
    let turn = |name, repeats, trains| Turn { name, repeats, trains };
    let said = |turns: Vec<Turn>, learner| checked("m", turns, learner).unwrap_err().to_string();
    assert!(said(vec![], false).contains("has no turn"));
    assert!(said(vec![turn("a", 1, &[""]), turn("a", 1, &["b"])], false).contains("two turns called \"a\""));
    assert!(said(vec![turn("a", 0, &[""])], false).contains("never taken"));
    assert!(said(vec![turn("a", 1, &[""])], true).contains("without a name"));
    assert!(checked("m", vec![turn("a", 2, &["b"])], false).is_ok());
}
