//! A step in micro-batches equals the step of the whole batch, except for what batch norm sees.

use super::super::testing::{Heard, with_job};
use super::super::{Beginning, Config, Job, PretrainOptions};
use super::*;
use crate::base::Progress;
use crate::base::progress::Silent;
use crate::device::tune::Table;
use crate::device::{Caps, Gpu, GpuOptions};
use crate::kernels::fuse;
use crate::nn::micro::INDEX;
use crate::nn::{Mode, Precision, Recipe, Views};
use crate::study::pretrain;
use crate::tape::{Feed, Plan, Program, Schedule, State, Type};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const DATA: &str = "phantom:covid?train=16&val=4&test=4";

/// Two steps of eight images with SGD. Adam would turn rounding into steps where a gradient is nearly zero.
fn config(method: &str, more: &str, model: &str) -> String {
    format!(
        "[data]\nstore_size = 16\nimage_size = 16\n[model]\n{model}\n[pretraining]\nmethods = [\"{method}\"]\nepochs = 1\n\
         warmup_epochs = 0\nbatch_size = 8\n[pretraining.optimizer]\nname = \"sgd\"\nlr = 0.05\nweight_decay = 0.0\n\
         [pretraining.{method}]\nbatch_size = 8\nlr_scaling = \"none\"\nwarmup_epochs = 0\n{more}\n\
         [pretraining.{method}.optimizer]\nname = \"sgd\"\nlr = 0.05\nweight_decay = 0.0\n\
         [run]\ncheckpoint_seconds = 1000\n"
    )
}

const RESNET: &str = "width = 0.0625";
const VIT: &str = "arch = \"vit_tiny\"\npatch_size = 8";

/// The tensors of a file.
fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, t)| (name, t.data().to_vec())).collect()
}

/// The state after some steps of a pretraining with the config `text`, in a folder of its own.
fn state(job: &Job<'_>, name: &str, text: &str, steps: usize) -> BTreeMap<String, Vec<u8>> {
    let (config, out) = (Config::parse("t", text).unwrap(), job.out.join(name));
    let inner = Job { config: &config, out: &out, kernels: Table::default(), ..*job };
    let how = PretrainOptions { beginning: Beginning::Config, steps: Some(steps) };
    inner.pretrain(DATA, config.pretraining.first(), 0, how).unwrap_or_else(|e| panic!("{text}: {e}"));
    tensors(&out.join("state.safetensors"))
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytemuck::pod_collect_to_vec::<u8, f32>(bytes).into_iter().map(f64::from).collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Asserts that two runs in f32 move the state from `first` alike.
fn expect_alike(
    what: &str,
    first: &BTreeMap<String, Vec<u8>>,
    a: &BTreeMap<String, Vec<u8>>,
    b: &BTreeMap<String, Vec<u8>>,
) {
    expect_alike_to(1e-3, what, first, a, b);
}

/// Asserts that two runs move the state from `first` alike: each tensor's movement agrees to `most` of its own length
/// and a little of the longest movement.
fn expect_alike_to(
    most: f64,
    what: &str,
    first: &BTreeMap<String, Vec<u8>>,
    a: &BTreeMap<String, Vec<u8>>,
    b: &BTreeMap<String, Vec<u8>>,
) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{what}");
    let moved =
        |to: &[u8], from: &[u8]| -> Vec<f64> { floats(to).iter().zip(floats(from)).map(|(t, f)| t - f).collect() };
    let mut largest = 0f64;
    for (name, from) in first.iter().filter(|t| t.0.contains("weight")) {
        largest = largest.max(norm(moved(&a[name], from).into_iter()));
    }
    assert!(largest > 1e-4, "{what}: nothing moved, so equal values would show little");
    for (name, from) in first {
        let (x, y) = (moved(&a[name], from), moved(&b[name], from));
        let off = norm(x.iter().zip(&y).map(|(x, y)| x - y));
        let length = norm(x.into_iter());
        assert!(
            off <= most * length + most / 100.0 * largest,
            "{what}: {name} is {off:e} off of {length:e}, {largest:e} at most"
        );
    }
}

/// Batch norm of SimCLR in micro-batches sees one micro-batch at a time. Recorded at once with parts, it is the same
/// step, with the same gradients, loss and running statistics.
#[test]
fn micro_batches_are_the_step_whose_batch_norm_sees_parts() {
    with_job("", &Silent, |job| {
        let dims = "projection_dims = [16, 8]";
        let ghost = config("test_ghost", &format!("parts = 4\n{dims}"), RESNET);
        let simclr = config("simclr", &format!("temperature = 0.5\nmicro_batch_size = 2\n{dims}"), RESNET);
        let plain = config("simclr", &format!("temperature = 0.5\n{dims}"), RESNET);
        // Both must have the same views. Each method takes the config's recipe, except for what its overlay sets.
        let off = "[augmentation]\noff = true\n[pretraining.METHOD.augmentation]\noff = true\n";
        let text = |config: &str, method: &str| config.to_string() + &off.replace("METHOD", method);
        let first = state(job, "first", &text(&ghost, "test_ghost"), 0);
        let due = state(job, "due", &text(&ghost, "test_ghost"), 2);
        let made = state(job, "made", &text(&simclr, "simclr"), 2);
        expect_alike("parts", &first, &due, &made);
        // The comparison can fail: a batch norm over the whole batch gives another step.
        let whole = state(job, "whole", &text(&plain, "simclr"), 2);
        assert!(std::panic::catch_unwind(|| expect_alike("whole", &first, &due, &whole)).is_err());
    });
}

/// Without batch norm in the network, micro-batches change only rounding.
#[test]
fn without_batch_norm_micro_batches_are_the_whole_batch() {
    with_job("", &Silent, |job| {
        let cases = [
            ("simclr", "projection_dims = [16, 8]"),
            ("moco", "queue_size = 20\nbatch_norm_splits = 2\nprojection_dims = [16, 8]"),
            // The last layer is trained in the first epoch, or stays as it began.
            ("dino", "projection_dims = [16, 8]\noutput_dim = 12\nfreeze_last_layer_epochs = 0"),
            ("dino", "projection_dims = [16, 8]\noutput_dim = 12\nfreeze_last_layer_epochs = 1"),
            ("mae", "decoder_depth = 1\ndecoder_num_heads = 2\ndecoder_embed_dim = 8\nmask_ratio = 0.5"),
        ];
        for (k, (method, more)) in cases.into_iter().enumerate() {
            let micro = format!("micro_batch_size = 4\n{more}");
            let run = |name: &str, more: &str, steps| {
                state(job, &format!("{method} {k} {name}"), &config(method, more, VIT), steps)
            };
            expect_alike(method, &run("first", more, 0), &run("whole", more, 2), &run("micro", &micro, 2));
        }
    });
}

/// In f16 the loss is scaled once in a step, whether it compares images or is a mean over them.
#[test]
fn micro_batches_in_f16_are_the_whole_batch_in_f16() {
    with_job("", &Silent, |job| {
        for (method, more, model, images) in [
            ("simclr", "projection_dims = [16, 8]", VIT, 4),
            ("mae", "decoder_depth = 1\ndecoder_num_heads = 2\ndecoder_embed_dim = 8\nmask_ratio = 0.5", VIT, 4),
            // Batch norm sees a micro-batch, so it is one of all images.
            ("rotation", "", RESNET, 8),
        ] {
            let micro = format!("micro_batch_size = {images}\n{more}");
            let run = |name: &str, more: &str, precision: &str, steps| {
                let more = format!("precision = \"{precision}\"\n{more}");
                state(job, &format!("{method} {name}"), &config(method, &more, model), steps)
            };
            let [first, whole] = [("first", 0), ("whole", 2)].map(|(name, steps)| run(name, more, "f16", steps));
            let made = run("micro", &micro, "f16", 2);
            // A sum in another order may round to the next half, which is 2⁻¹⁰ away.
            expect_alike_to(4.0 / 1024.0, method, &first, &whole, &made);
            // The first scale may be too large. Then both skip the same step; the other one moved the weights.
            let good = [&whole, &made].map(|run| floats(&run["loss_scale.good_steps"])[0]);
            assert!(good[0] == good[1] && good[0] >= 1.0, "{method}: {good:?} good steps");
            let single = run("f32", &micro, "f32", 2);
            assert!(single.iter().any(|(name, bytes)| made[name] != *bytes), "{method} is not in f16");
        }
    });
}

/// One micro-batch of all images is the whole step, for terms, teachers, noise, and heads with batch norm of two views.
#[test]
fn one_micro_batch_is_the_whole_batch() {
    with_job("", &Silent, |job| {
        for (method, more) in [
            ("vicreg", "projection_dim = 8"),
            ("byol", "projection_dims = [16, 8]\nprediction_hidden_dim = 8"),
            ("vae", "latent_dim = 4\nhidden_dim = 8"),
        ] {
            let run = |name: &str, more: &str, steps| {
                state(job, &format!("{method} {name}"), &config(method, more, RESNET), steps)
            };
            let micro = run("micro", &format!("micro_batch_size = 8\n{more}"), 2);
            expect_alike(method, &run("first", more, 0), &run("whole", more, 2), &micro);
        }
    });
}

/// Raises the flag when the first step is reported.
struct Soon<'a>(&'a AtomicBool);

impl Progress for Soon<'_> {
    fn stage(&self, _: &str, _: u64, _: u64, _: &'static str) {}
    fn step(&self, _: u64, note: &str) {
        self.0.fetch_or(note.starts_with("epoch"), Ordering::SeqCst);
    }
    fn done(&self, _: &str) {}
    fn note(&self, _: &str) {}
}

#[test]
fn a_stopped_run_in_micro_batches_goes_on_to_the_same_bits() {
    let text = config("simclr", "projection_dims = [16, 8]\nmicro_batch_size = 4", RESNET) + "loss_every = 1\n";
    with_job(&text, &Silent, |job| {
        let run = |name: &str, progress: &dyn Progress, stop: &AtomicBool| {
            let out = job.out.join(name);
            let inner = Job { out: &out, progress, stop, kernels: Table::default(), ..*job };
            let made = inner.pretrain("phantom:covid?train=32&val=4&test=4", "simclr", 0, PretrainOptions::default());
            made.map(|_| tensors(&out.join("state.safetensors")))
        };
        let stop = AtomicBool::new(false);
        let e = run("stopped", &Soon(&stop), &stop).unwrap_err().to_string();
        assert!(e.contains("stopped at epoch 1, step 2"), "{e}");
        let halfway = tensors(&job.out.join("stopped/state.safetensors"));
        assert!(halfway.keys().all(|name| !name.starts_with("micro.")), "{:?}", halfway.keys());
        let never = AtomicBool::new(false);
        let whole = run("whole", &Silent, &never).unwrap();
        assert_ne!(halfway, whole);
        assert_eq!(run("stopped", &Silent, &never).unwrap(), whole);
    });
}

/// Views that are inputs.
struct Given;

impl Views for Given {
    fn view(&self, t: &mut Tape, indices: Var, i: u32, _: &Recipe) -> Result<Var> {
        t.input(&format!("view{i}"), Type::f32([t.shape(indices).numel(), 1, 8, 8]))
    }
}

/// A small network with batch norm and a contrastive loss, with three micro-batches of two images: its program and its
/// state.
fn contrast(job: &Job<'_>, precision: Precision, state: &mut State) -> Result<Program> {
    let mut pretrained = job.config.pretraining_of("simclr")?;
    pretrained.optimization.precision = precision;
    let taped = |params: &mut Params, batch: usize, f: &mut Recording<'_>| {
        let mut t = Tape::new();
        let (indices, backbone) = (t.input("indices", Type::u32([batch]))?, pretrained.backbone.as_ref());
        let (recipe, views, mode) = (&Recipe::PLAIN, &Given, Mode::Train);
        f(&mut Recorder { t: &mut t, params, backbone, recipe, batch, indices, views, mode })?;
        Ok(t)
    };
    let update = Update {
        name: "simclr",
        optimization: &pretrained.optimization,
        model: &pretrained.model,
        size_key: &|one| pretrained.size_key(one),
        group: pretrained.method.group(),
    };
    let (mut params, parts) = (Params::of(precision), Parts { batch: 6, micro: 2, key: "micro_batch_size" });
    let minimize = |r: &mut Recorder<'_>| Ok((pretrained.method.record(&Turn::ONLY, r)?, Vec::new()));
    let (tapes, _) = record(job, &update, (&Turn::ONLY, &mut params), parts, &taped, &minimize, &|_| Ok(()))?;
    params.fill(job.gpu, state, 0)?;
    let mut program = Program::new();
    for (tape, repeats) in tapes {
        state.insert_missing(job.gpu, &tape.state_types())?;
        let plan = Plan::new(job.gpu, Schedule::new(&tape, &fuse::options(job.gpu.caps()))?, state)?;
        program = program.then(plan, repeats);
    }
    Ok(program)
}

/// A step on images of the seed. The image at `wrong` is not finite.
fn step(gpu: &Gpu, program: &Program, seed: u64, wrong: Option<usize>) {
    let mut rng = crate::base::rng::Rng::new(seed, 0, 0);
    let mut views: [Vec<f32>; 2] = std::array::from_fn(|_| (0..6 * 64).map(|_| rng.normal()).collect());
    wrong.into_iter().for_each(|image| views[0][image * 64] = f32::NAN);
    for (plan, repeats) in program.stages() {
        for part in 0..repeats {
            let of_part = |view: usize| &views[view][part * 128..][..128];
            let (index, images) = ([part as u32], [of_part(0), of_part(1)]);
            let all = Feed::new().input("view0", images[0]).input("view1", images[1]).input(INDEX, &index);
            let mut feed = Feed::new();
            feed.inputs.extend(all.inputs.iter().filter(|i| plan.schedule().inputs.iter().any(|have| have.0 == i.0)));
            for name in &plan.schedule().scalars {
                feed = feed.scalar(name, if name == "lr" { 0.01 } else { 0.0 });
            }
            plan.run(gpu, &feed).unwrap();
        }
    }
}

#[test]
fn one_value_that_is_not_finite_skips_the_whole_step_and_nothing_of_it_stays() {
    let text = "[model]\nwidth = 0.0625\n[data]\nstore_size = 8\nimage_size = 8\n[pretraining]\n\
                simclr.projection_dims = [16, 8]\n";
    with_job(text, &Silent, |job| {
        let mut state = State::new();
        let program = contrast(job, Precision::F32, &mut state).unwrap();
        let held = |state: &State| -> BTreeMap<String, Vec<u8>> {
            let apart = ["micro.", "metrics", "loss_scale."];
            let kept = state.names().filter(|n| !apart.iter().any(|begin| n.starts_with(begin)));
            kept.map(|n| (n.to_string(), state.read(job.gpu, n).unwrap())).collect()
        };
        step(job.gpu, &program, 1, None);
        let before = held(&state);
        for image in [1, 4] {
            step(job.gpu, &program, 2, Some(image));
            assert_eq!(held(&state), before, "image {image}");
        }
        step(job.gpu, &program, 3, None);
        let mut other = State::new();
        let program = contrast(job, Precision::F32, &mut other).unwrap();
        step(job.gpu, &program, 1, None);
        assert_eq!(held(&other), before);
        step(job.gpu, &program, 3, None);
        assert_eq!(held(&other), held(&state), "the step that was skipped left nothing behind");
        assert_ne!(held(&other), before);
        // In f16 such a step halves the scale, and a good step after it moves the weights.
        let mut halves = State::new();
        let program = contrast(job, Precision::F16, &mut halves).unwrap();
        let scale = |state: &State| state.read_f32(job.gpu, "loss_scale.scale").unwrap()[0];
        // The first scale may be too large for the step.
        (0..4).for_each(|_| step(job.gpu, &program, 1, None));
        let (before, first) = (held(&halves), scale(&halves));
        for (image, due) in [(1, first / 2.0), (4, first / 4.0)] {
            step(job.gpu, &program, 2, Some(image));
            assert_eq!((scale(&halves), &held(&halves)), (due, &before), "image {image}");
        }
        step(job.gpu, &program, 3, None);
        assert!(scale(&halves) == first / 4.0 && held(&halves) != before);
        assert!(held(&halves).values().all(|bytes| floats(bytes).iter().all(|v| v.is_finite())));
    });
}

/// Every method either records its passes or refuses the key with a sentence.
#[test]
fn every_method_takes_micro_batches_or_says_that_it_does_not() {
    let (mut refused, mut late) = (Vec::new(), Vec::new());
    with_job("[data]\nstore_size = 16\nimage_size = 16", &Silent, |job| {
        let images = job.load(DATA).unwrap().train;
        for entry in crate::ssl::methods() {
            let (name, model) = (entry.name, if entry.name == "mae" { VIT } else { RESNET });
            let more = if name == "moco" { "batch_norm_splits = 2" } else { "" };
            let text = config(name, &format!("micro_batch_size = 4\n{more}"), model);
            let key = format!("pretraining.{name}.micro_batch_size");
            let config = match Config::parse("t", &text) {
                Ok(config) => config,
                Err(e) => {
                    let due = format!("{key} is 4, and {name} takes no micro-batches; use 0");
                    assert!(e.exit_code() == 2 && e.to_string().ends_with(&due), "{e}");
                    refused.push(name);
                    continue;
                }
            };
            let job = Job { config: &config, kernels: Table::default(), ..*job };
            match pretrain::record(&job, &images, &config.pretraining_of(name).unwrap(), 0, 8) {
                Ok(turns) => assert!(turns.iter().all(|t| [2, 4].contains(&t.tapes.len())), "{name}"),
                Err(e) => {
                    let due = format!("{name} takes no micro-batches: use {key} = 0");
                    assert!(e.exit_code() == 2 && e.to_string() == due, "{e}");
                    late.push(name);
                }
            }
        }
        // What a config knows of a method, `study list` refuses, too.
        assert_eq!((refused, late), (vec!["bigbigan"], vec!["test_duel", "test_ghost", "test_pretext"]));
    });
}

#[test]
fn a_micro_batch_divides_the_batch_and_is_a_key_of_pretraining_alone() {
    let said = |size: usize| {
        let text = format!("[pretraining]\nmethods = [\"simclr\"]\nbatch_size = 8\nmicro_batch_size = {size}");
        Config::parse("t.toml", &text).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!([0, 2, 4, 8].map(said), [(); 4].map(Ok));
    for size in [1, 3, 16] {
        let e = said(size).unwrap_err();
        assert!(e.starts_with("t.toml:4: pretraining.micro_batch_size") && e.contains("a divisor of"), "{e}");
    }
    let e = Config::parse("t.toml", "[training]\nmicro_batch_size = 4").unwrap_err().to_string();
    assert!(e.contains("there is no key `training.micro_batch_size`"), "{e}");
    let e = Config::parse("t.toml", "[training.elr]\nmicro_batch_size = 4").unwrap_err().to_string();
    assert!(e.contains("there is no key `training.elr.micro_batch_size`"), "{e}");
}

/// If a batch does not fit whole, the error names the largest micro-batch that fits, and that micro-batch fits.
#[test]
fn a_batch_that_does_not_fit_names_the_largest_micro_batch_that_does() {
    let text = "[data]\nstore_size = 32\nimage_size = 32\n[model]\nwidth = 0.125\n[pretraining]\nmethods = [\"simclr\"]\n\
                batch_size = 16\nsimclr.projection_dims = [16, 8]\n";
    with_job(text, &Silent, |job| {
        let spec = "phantom:covid?train=16&val=4&test=4";
        let planned = |gpu: &Gpu, micro: usize| {
            let mut config = job.config.clone();
            config.pretraining.optimization.micro_batch_size = micro;
            let job = Job { gpu, config: &config, kernels: Table::default(), ..*job };
            job.plan_pretraining(spec, "simclr", 0)
        };
        let needs = |micro| planned(job.gpu, micro).unwrap().promise.peak_bytes();
        let [whole, eight, four] = [0, 8, 4].map(needs);
        assert!(four < eight && eight < whole, "{four} {eight} {whole}");
        let tight = GpuOptions { memory_budget_bytes: Some((four + eight) / 2), ..GpuOptions::default() };
        let tight = Gpu::open(&tight).unwrap();
        let said = |micro| planned(&tight, micro).unwrap_err();
        for micro in [0, 8] {
            let (e, due) = (said(micro), "the largest pretraining.micro_batch_size that does is 4;");
            assert!(e.exit_code() == 2 && e.to_string().contains(due), "{micro}: {e}");
        }
        // In f16 a larger one fits.
        let mut halves = job.config.clone();
        halves.pretraining.optimization.precision = Precision::F16;
        let halves = Job { gpu: &tight, config: &halves, kernels: Table::default(), ..*job };
        let e = halves.plan_pretraining(spec, "simclr", 0).unwrap_err();
        let due = "the largest pretraining.micro_batch_size that does is 8;";
        assert!(e.exit_code() == 2 && e.to_string().contains(due), "{e}");
        let four = planned(&tight, 4).unwrap();
        assert_eq!((four.batch, four.micro_batch), (16, Some(("pretraining.micro_batch_size".to_string(), 4))));
        assert!(four.largest_batch >= 16 && four.largest_batch % 4 == 0, "{}", four.largest_batch);
    });
}

/// The promise for a run in micro-batches is kept to the byte.
#[test]
fn a_promise_of_micro_batches_is_kept() {
    let text = config("simclr", "projection_dims = [16, 8]\nmicro_batch_size = 4", RESNET);
    with_job(&text, &Heard::default(), |job| {
        let planned = job.plan_pretraining(DATA, "simclr", 0).unwrap();
        job.pretrain(DATA, "simclr", 0, PretrainOptions::default()).unwrap();
        assert_eq!(job.gpu.meter().peak_bytes(), planned.promise.peak_bytes(), "{:?}", planned.promise);
    });
}

/// The studied paper's images of 224 pixels in a batch of 512, for an adapter that binds 2 GiB. They cannot be bound
/// whole, but they can in micro-batches. Nothing is allocated to find out.
#[test]
fn the_batch_of_the_studied_paper_can_be_planned() {
    let text = |micro: usize| {
        format!(
            "[data]\nstore_size = 224\nimage_size = 224\n[model]\narch = \"resnet18\"\nstem = \"7x7\"\n[pretraining]\n\
             methods = [\"simclr\"]\nbatch_size = 512\nmicro_batch_size = {micro}\n"
        )
    };
    with_job(&text(0), &Silent, |job| {
        let images = job.load("phantom:covid?train=4&val=4&test=4").unwrap().train;
        let caps = Caps { binding_bytes: 2 << 30, ..job.gpu.caps().clone() };
        let before = job.gpu.meter().buffers_made();
        let schedules = |micro: usize| {
            let config = Config::parse("t", &text(micro)).unwrap();
            let job = Job { config: &config, kernels: Table::default(), ..*job };
            let method = config.pretraining_of("simclr").unwrap();
            let recorded = pretrain::record(&job, &images, &method, 0, 512).unwrap();
            let tapes = recorded.into_iter().flat_map(|r| r.tapes);
            tapes.map(|(t, _)| Schedule::new(&t, &fuse::options(&caps)).unwrap()).collect::<Vec<_>>()
        };
        let whole = schedules(0).iter().find_map(|s| s.past_limits(&caps)).unwrap();
        assert!(whole.contains("in one buffer, and the adapter binds at most 2048.0 MiB"), "{whole}");
        let parts = schedules(64);
        assert_eq!((parts.len(), parts.iter().find_map(|s| s.past_limits(&caps))), (4, None));
        let peak = parts.iter().map(Schedule::plan_bytes).sum::<u64>();
        assert!((1 << 30..16 << 30).contains(&peak), "{peak} bytes of plans");
        assert_eq!(job.gpu.meter().buffers_made(), before, "nothing is made");
    });
}
