//! Compares ResNet-18 and ResNet-50 with PyTorch: the logits, the loss, the gradient of every parameter and the running
//! statistics of one training step from the same weights. Also tests the files that hold a network. `golden/README.md`
//! says what each key holds.

use crate::golden::{Tensors, floats, read};
use crate::harness::compare::same_bits;
use crate::harness::quick::near;
use crate::harness::recording::{Values, chooser};
use crate::harness::{device::gpu, text};
use libtest_mimic::{Failed, Trial};
use std::collections::BTreeMap;
use std::path::Path;
use wgslab::base::{DType, Error, Result as BaseResult};
use wgslab::device::Gpu;
use wgslab::kernels::fuse;
use wgslab::nn::Backbone;
use wgslab::nn::checkpoint::{self, Checkpoint};
use wgslab::nn::{Mode, Optimizer, Params, ResNet, Stem, weights};
use wgslab::tape::rewrite::Rule;
use wgslab::tape::{Feed, Options, Plan, Schedule, State, Tape, Trace, Type, Var};

/// How far these numbers may lie from PyTorch's, as a share of the largest value of a tensor. Both round to f32 and sum
/// in different orders. Seen on a software driver, for the worst tensor of both files of ResNet-18 and all variants:
/// logits and loss 2.5e-6, gradients 1.7e-5 (PyTorch's own lie 6e-6 from f64), running statistics 3.4e-7. The bounds
/// are three to ten times that.
const LOGITS: f64 = 1e-5;
const GRADIENTS: f64 = 5e-5;
const STATISTICS: f64 = 3e-6;

const CLASSES: usize = 5;

const RELU: [&str; 2] = ["relu", "relu.grad"];

/// A network of a golden file.
#[derive(Clone, Copy)]
struct Golden {
    file: &'static str,
    model: ResNet,
    /// The number of its batch norms.
    norms: usize,
    /// How far logits may differ, and how far gradients may.
    allowed: [f64; 2],
}

const NETWORKS: [Golden; 3] = [
    Golden { file: "resnet", model: ResNet::resnet18(Stem::Small, 0.125, 3), norms: 20, allowed: [LOGITS, GRADIENTS] },
    // 50 layers of two channels amplify errors. Weights that differ by 3e-7 move a gradient by 2e-4 in f64, and
    // PyTorch's own f32 lies 5.2e-5 away. Seen: logits 1.1e-5, by Winograd. A stride or a shortcut in the wrong place
    // would change all of them by about their own size.
    Golden { file: "resnet50", model: ResNet::resnet50(Stem::Small, 0.03125, 3), norms: 53, allowed: [3e-5, 1e-3] },
    Golden {
        file: "resnet_7x7",
        model: ResNet::resnet18(Stem::Large, 0.0625, 1),
        norms: 20,
        allowed: [LOGITS, GRADIENTS],
    },
];

/// The variant to take where an op offers it, and the least number of steps that must take it. 20 convolutions have 3
/// steps each. Winograd serves the convolutions of 3×3 and stride 1, forward and to the input: 13 without the stem. No
/// op has a variant "first", so there each op takes its own first variant.
const FAMILIES: [(&str, usize); 4] = [("first", 0), ("tiled_64", 60), ("naive", 60), ("winograd_tiled", 26)];

/// The trials.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for golden in NETWORKS {
        let mut add = |name: &str, test: Box<dyn FnOnce() -> Result<(), String> + Send>| {
            let label = format!("T1 golden resnet {}::{name}", golden.file);
            trials.push(Trial::test(label, move || test().map_err(Failed::from)));
        };
        for (family, least) in FAMILIES {
            add(family, Box::new(move || against_pytorch(golden, family, least)));
        }
        add("plan and trace", Box::new(move || plan_and_trace(golden)));
        add("checkpoints", Box::new(move || checkpoints(golden)));
    }
    trials
}

/// A training step that keeps every value that is compared.
struct Step {
    tape: Tape,
    params: Params,
    /// The values to read, under the names of the golden file.
    reads: Vec<(String, Var)>,
}

fn training_step(model: ResNet, tensors: &Tensors) -> BaseResult<Step> {
    let (mut t, mut params) = (Tape::new(), Params::new());
    let x = t.input("input", tensors["input"].ty)?;
    let labels = t.input("labels", tensors["labels"].ty)?;
    let weights = t.input("weights", Type::f32(tensors["labels"].ty.shape))?;
    let features = model.forward(&mut t, &mut params, "", x, Mode::Train)?;
    let logits = model.classify(&mut t, &mut params, "", features, CLASSES)?;
    let [loss, _, _] = t.cross_entropy(logits, labels, weights)?;
    let mut reads = vec![("train/logits".to_string(), logits), ("train/loss".to_string(), loss)];
    let types = t.state_types();
    let trained = params.trained();
    let mut vars = Vec::new();
    for name in &trained {
        let ty = types.iter().find(|s| s.0 == *name).map(|s| s.1);
        vars.push(t.state(name, ty.ok_or_else(|| Error::Failed(format!("{name} is not on the tape")))?)?);
    }
    let mut pairs = Vec::new();
    for (name, grad) in trained.iter().zip(t.gradient(loss, &vars)?) {
        let grad = grad.ok_or_else(|| Error::Failed(format!("{name} has no gradient")))?;
        reads.push((format!("grad/{name}"), grad));
        pairs.push((name.clone(), grad));
    }
    let flag = t.found_inf(&pairs.iter().map(|p| p.1).collect::<Vec<_>>())?;
    t.set_guard(flag)?;
    let lr = t.scalar("lr")?;
    Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 1e-4 }.update(&mut t, &pairs, lr)?;
    for (name, v) in &reads {
        t.output(name, *v);
    }
    Ok(Step { tape: t, params, reads })
}

/// Makes a state of the golden parameters and running statistics under `prefix`, with zeros for the other states of the
/// tape.
pub fn store(gpu: &Gpu, tensors: &Tensors, prefix: &str, types: &[(String, Type)]) -> BaseResult<State> {
    let mut state = State::new();
    for (key, tensor) in tensors {
        if let Some(name) = key.strip_prefix("param/") {
            let name = format!("{prefix}{name}");
            state.insert(gpu, &name, tensor.ty, Some(bytemuck::cast_slice(&tensor.words)))?;
        }
    }
    state.insert_missing(gpu, types)?;
    Ok(state)
}

/// Checks that the names and shapes of a model are exactly those of the file.
pub fn same_names(params: &Params, tensors: &Tensors) -> Result<(), String> {
    let named = |(k, v): (&String, &crate::harness::quick::Input)| Some((k.strip_prefix("param/")?.to_string(), v.ty));
    let want: BTreeMap<String, Type> = tensors.iter().filter_map(named).collect();
    let have: BTreeMap<String, Type> = params.list().iter().map(|p| (p.name.clone(), p.ty)).collect();
    let differs = |(name, ty): (&String, &Type)| (want.get(name) != Some(ty)).then(|| format!("{name} {ty}"));
    let extra: Vec<String> = have.iter().filter_map(differs).collect();
    let missing: Vec<&String> = want.keys().filter(|n| !have.contains_key(*n)).collect();
    if extra.is_empty() && missing.is_empty() {
        return Ok(());
    }
    Err(format!("the model has {extra:?}, which torchvision does not have, and lacks {missing:?}"))
}

/// The largest difference as a share of the tensor's largest value. It is printed, so that a bound can be judged.
pub fn share(got: &[f32], want: &[f32]) -> f64 {
    let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs() as f64));
    got.iter().zip(want).map(|(g, w)| (*g as f64 - *w as f64).abs()).fold(0.0, f64::max) / largest.max(1e-300)
}

fn feed<'a>(tensors: &'a Tensors, weights: &'a [f32], lr: f32) -> Feed<'a> {
    let (x, labels) = (&tensors["input"].words, &tensors["labels"].words);
    Feed::new().input("input", x).input("labels", labels).input("weights", weights).scalar("lr", lr)
}

/// Two of the three without runtime checks, as a program runs: a driver compiles a network's products in less than half the
/// time, and each op's own trials run with and without.
fn against_pytorch(golden: Golden, family: &'static str, least: usize) -> Result<(), String> {
    let (gpu, tensors) = (gpu(golden.file == "resnet_7x7")?, read(golden.file)?);
    let step = training_step(golden.model, &tensors).map_err(text)?;
    same_names(&step.params, &tensors)?;
    let state = store(&gpu, &tensors, "", &step.tape.state_types()).map_err(text)?;
    let choose = chooser(family);
    // The step is fused, as it is in a run. `fusion.rs` compares it with its parts.
    let options = Options { choose: &choose, ..fuse::options(gpu.caps()) };
    let schedule = Schedule::new(&step.tape, &options).map_err(text)?;
    let counts = |of: &Schedule, names: [&str; 2]| names.map(|n| of.steps.iter().filter(|s| s.op.name() == n).count());
    let apart = Schedule::new(&step.tape, &Options::new(gpu.caps())).map_err(text)?;
    let (relus, ended) = (counts(&apart, RELU), counts(&schedule, ["batch_norm_relu", "batch_norm_relu.grad"]));
    if relus != ended || counts(&schedule, RELU) != [0, 0] {
        return Err(format!("{relus:?} relus follow a norm, but {ended:?} are fused with one"));
    }
    let taken = schedule.steps.iter().filter(|s| s.variant == family).count();
    if taken < least {
        return Err(format!("{taken} steps take the variant {family}; at least {least} must"));
    }
    let plan = Plan::new(&gpu, schedule, &state).map_err(text)?;
    let weights = vec![1.0; tensors["labels"].words.len()];
    // The file's evaluation needs unchanged parameters, so the learning rate is 0.
    plan.run(&gpu, &feed(&tensors, &weights, 0.0)).map_err(text)?;
    let mut worst: BTreeMap<&str, (f64, String)> = BTreeMap::new();
    let mut compare = |name: &str, got: &[f32], allowed: f64| {
        let want = floats(&tensors[name]);
        let (group, error) = (name.split('/').next().unwrap_or_default(), share(got, &want));
        let group = ["train", "grad", "after", "eval"].into_iter().find(|g| *g == group).unwrap_or("other");
        if worst.get(group).is_none_or(|w| error > w.0) {
            worst.insert(group, (error, name.to_string()));
        }
        near(name, got, &want, allowed)
    };
    let mut compared = 0;
    let mut failures = Vec::new();
    for (name, _) in &step.reads {
        let allowed = golden.allowed[usize::from(name.starts_with("grad/"))];
        failures.extend(compare(name, &plan.read_f32(&gpu, name).map_err(text)?, allowed).err());
        compared += 1;
    }
    for key in tensors.keys().filter_map(|k| k.strip_prefix("after/")) {
        failures.extend(compare(&format!("after/{key}"), &state.read_f32(&gpu, key).map_err(text)?, STATISTICS).err());
        compared += 1;
    }
    for fuse in [None, Some(fuse::fuse as Rule)] {
        let options = Options { choose: &choose, fuse, ..Options::new(gpu.caps()) };
        failures.extend(
            compare("eval/logits", &evaluate(&gpu, golden, &tensors, &state, &options)?, golden.allowed[0]).err(),
        );
    }
    let wanted = tensors.keys().filter(|k| !k.starts_with("param/") && !["input", "labels"].contains(&k.as_str()));
    if compared + 1 != wanted.count() {
        return Err(format!("{} tensors were compared, but the file holds another number", compared + 1));
    }
    println!("{}::{family}: furthest from PyTorch, as a share of the largest value: {worst:?}", golden.file);
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn evaluate(g: &Gpu, golden: Golden, tensors: &Tensors, s: &State, options: &Options<'_>) -> Result<Vec<f32>, String> {
    let record = || {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let x = t.input("input", tensors["input"].ty)?;
        let features = golden.model.forward(&mut t, &mut params, "", x, Mode::Eval)?;
        let logits = golden.model.classify(&mut t, &mut params, "", features, CLASSES)?;
        t.output("logits", logits);
        let plan = Plan::new(g, Schedule::new(&t, options)?, s)?;
        plan.run(g, &Feed::new().input("input", &tensors["input"].words))?;
        plan.read_f32(g, "logits")
    };
    record().map_err(text)
}

/// Two runs of the plan and one of the trace, each from the same state, must give the same bits of values and state.
fn plan_and_trace(golden: Golden) -> Result<(), String> {
    let (gpu, tensors) = (gpu(golden.file == "resnet_7x7")?, read(golden.file)?);
    let step = training_step(golden.model, &tensors).map_err(text)?;
    let options = Options::new(gpu.caps());
    let weights = vec![1.0; tensors["labels"].words.len()];
    let feed = feed(&tensors, &weights, 0.1);
    let after = |state: &State, read: &dyn Fn(&str, Var) -> BaseResult<Vec<u8>>| {
        let mut all = Vec::new();
        for (name, v) in &step.reads {
            all.push((name.clone(), DType::F32, read(name, *v)?));
        }
        for name in state.names() {
            all.push((name.to_string(), DType::F32, state.read(&gpu, name)?));
        }
        Ok::<_, Error>(Values(all))
    };
    let fresh = || store(&gpu, &tensors, "", &step.tape.state_types());
    let run = || {
        let state = fresh()?;
        let plan = Plan::new(&gpu, Schedule::new(&step.tape, &options)?, &state)?;
        plan.run(&gpu, &feed)?;
        let first = after(&state, &|name, _| plan.read(&gpu, name))?;
        // Runs the same plan again, over the memory that the first run left.
        for (name, ty) in step.tape.state_types() {
            let start = tensors.get(&format!("param/{name}")).map(|t| bytemuck::cast_slice(&t.words).to_vec());
            state.write(&gpu, &name, &start.unwrap_or_else(|| vec![0; ty.bytes() as usize]))?;
        }
        plan.run(&gpu, &feed)?;
        let second = after(&state, &|name, _| plan.read(&gpu, name))?;
        let state = fresh()?;
        let trace = Trace::run(&gpu, &step.tape, &options, &state, &feed)?;
        Ok::<_, Error>((first, second, after(&state, &|_, v| trace.read(&gpu, v))?))
    };
    let (first, second, traced) = run().map_err(text)?;
    let moved = |name: &str| first.0.iter().any(|(n, _, b)| n == name && *b != bytes_of(&tensors, name));
    if !moved("conv1.weight") || !moved("bn1.running_mean") {
        return Err("the step moved nothing, so equal bits say nothing".into());
    }
    same_bits("two runs of one plan", &first, &second)?;
    same_bits("plan and trace", &first, &traced)
}

fn bytes_of(tensors: &Tensors, name: &str) -> Vec<u8> {
    tensors.get(&format!("param/{name}")).map_or(Vec::new(), |t| bytemuck::cast_slice(&t.words).to_vec())
}

/// A backbone with its tensors, without the classifier.
fn backbone(golden: Golden, tensors: &Tensors) -> BaseResult<Vec<(String, Type)>> {
    let (mut t, mut params) = (Tape::new(), Params::new());
    let x = t.input("input", tensors["input"].ty)?;
    golden.model.forward(&mut t, &mut params, "", x, Mode::Eval)?;
    Ok(params.list().iter().map(|p| (p.name.clone(), p.ty)).collect())
}

fn checkpoints(golden: Golden) -> Result<(), String> {
    let (gpu, tensors) = (gpu(true)?, read(golden.file)?);
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let wanted = backbone(golden, &tensors).map_err(text)?;
    let mut state = store(&gpu, &tensors, "backbone.", &[]).map_err(text)?;
    state.remove("backbone.fc.weight");
    state.remove("backbone.fc.bias");
    let counter = Type::u32([1]);
    state.insert(&gpu, "optim.count", counter, Some(&7u32.to_le_bytes())).map_err(text)?;
    let path = folder.path().join("backbone.safetensors");
    checkpoint::save_backbone(&path, &gpu, &state, "backbone.", 42, metadata("k")).map_err(text)?;
    torchvision_names(&path, &tensors, golden.norms)?;
    let mut loaded = State::new();
    let bytes = weights::read(&path).map_err(text)?;
    weights::load((&path, &bytes), &gpu, &mut loaded, "backbone.", &wanted, None).map_err(text)?;
    for (name, _) in &wanted {
        let full = format!("backbone.{name}");
        if loaded.read(&gpu, &full).map_err(text)? != bytes_of(&tensors, name) {
            return Err(format!("{name} came back with other bytes"));
        }
    }
    whole_state(&gpu, &state, folder.path())?;
    misfits(&gpu, golden, &tensors, &path, &wanted)
}

/// The file must hold torchvision's names, `num_batches_tracked` included, and nothing else.
fn torchvision_names(path: &Path, tensors: &Tensors, count: usize) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
    let names = tensors.keys().filter_map(|k| k.strip_prefix("param/")).filter(|n| !n.starts_with("fc."));
    let mut want: Vec<String> = names.map(str::to_string).collect();
    let norms: Vec<String> = want.iter().filter_map(|n| n.strip_suffix("running_var").map(str::to_string)).collect();
    want.extend(norms.iter().map(|n| format!("{n}num_batches_tracked")));
    let mut have: Vec<String> = file.names().iter().map(|n| n.to_string()).collect();
    want.sort();
    have.sort();
    if norms.len() != count || want != have {
        return Err(format!("the file holds {have:?}, but torchvision loads {want:?}"));
    }
    let count = file.tensor("bn1.num_batches_tracked").map_err(|e| e.to_string())?;
    if count.dtype() != safetensors::Dtype::I64 || !count.shape().is_empty() || count.data() != 42i64.to_le_bytes() {
        return Err("num_batches_tracked must be one I64 that holds 42".into());
    }
    Ok(())
}

/// Equal states must give equal files, and a file must give the state back.
fn whole_state(gpu: &Gpu, state: &State, folder: &Path) -> Result<(), String> {
    let (a, b) = (folder.join("a.safetensors"), folder.join("b.safetensors"));
    checkpoint::save_state(&a, gpu, state, metadata("step")).map_err(text)?;
    let (mut loaded, saved) = (State::new(), Checkpoint::open(&a).map_err(text)?);
    saved.load(gpu, &mut loaded).map_err(text)?;
    if saved.metadata != metadata("step") {
        return Err("the metadata came back changed".into());
    }
    checkpoint::save_state(&b, gpu, &loaded, saved.metadata).map_err(text)?;
    let (whole, again) = (std::fs::read(&a), std::fs::read(&b));
    let whole = whole.map_err(|e| e.to_string())?;
    if whole != again.map_err(|e| e.to_string())? || !loaded.names().eq(state.names()) {
        return Err("a state saved, loaded and saved again gives another file".into());
    }
    flipped(&a, &whole)
}

/// A changed bit of a checkpoint must be noticed: in the header, in the metadata and in a weight.
fn flipped(path: &Path, whole: &[u8]) -> Result<(), String> {
    let header = 8 + u64::from_le_bytes(std::array::from_fn(|i| whole[i])) as usize;
    let places = (0..header).chain((header..whole.len()).step_by(whole.len() / 200 + 1)).chain([whole.len() - 1]);
    for at in places {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1 << (at % 8);
        match Checkpoint::of(path, bytes) {
            Err(Error::Damaged { .. }) => {}
            other => {
                return Err(format!("byte {at} changed, but reading the file gives {:?}", other.map(|c| c.metadata)));
            }
        }
    }
    Ok(())
}

fn metadata(key: &str) -> serde_json::Map<String, serde_json::Value> {
    serde_json::Map::from_iter([(key.to_string(), 3.into())])
}

/// Damaged and foreign files must be refused with the reason.
fn misfits(gpu: &Gpu, golden: Golden, tensors: &Tensors, path: &Path, wanted: &[(String, Type)]) -> Result<(), String> {
    let load = |path: &Path, wanted: &[(String, Type)]| {
        let bytes = weights::read(path)?;
        weights::load((path, &bytes), gpu, &mut State::new(), "backbone.", wanted, None).map(drop)
    };
    let refused = |what: &str, r: BaseResult<()>, words: &[&str]| match r {
        Err(Error::Data(e)) if words.iter().all(|w| e.contains(w)) => Ok(()),
        other => Err(format!("{what} gives {other:?}, but must be a data error that names {words:?}")),
    };
    let cut = path.with_file_name("cut.safetensors");
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    for keep in [0, 5, 200, bytes.len() - 1] {
        std::fs::write(&cut, &bytes[..keep]).map_err(|e| e.to_string())?;
        refused("a truncated backbone", load(&cut, wanted), &["cut.safetensors"])?;
        if !matches!(Checkpoint::open(&cut), Err(Error::Damaged { .. })) {
            return Err(format!("a state cut to {keep} bytes must be damaged"));
        }
    }
    let mut wide = golden;
    wide.model.width *= 2.0;
    let other = backbone(wide, tensors).map_err(text)?;
    refused("a narrower network", load(path, &other), &["backbone.safetensors", "conv1.weight", "width"])?;
    let fewer: Vec<(String, Type)> = wanted.iter().filter(|w| !w.0.starts_with("layer4.1.")).cloned().collect();
    refused("a deeper network", load(path, &fewer), &["backbone.safetensors", "layer4.1.", "architecture"])?;
    let mut more = wanted.to_vec();
    more.push(("layer4.2.conv1.weight".into(), Type::f32([1])));
    refused("a shallower network", load(path, &more), &["backbone.safetensors", "layer4.2.conv1.weight"])
}
