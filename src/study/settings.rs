//! What a stage reads of the config. It is a part of the stage's address, together with the seed.

use super::config;
use super::config::{Config, NoiseSeed, Pretrained, Protocol, ValidationLabels};
use super::grid::{Cell, cells};
use crate::base::Result;
use crate::nn::Optimization;
use crate::ssl;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Keys of methods that versions before did not have. False does what they did.
const LATER: [&str; 2] = ["even_sharpness", "fix_prediction_lr"];

/// What pretraining reads of the config.
pub(super) fn pretraining_settings(c: &Config, p: &Pretrained, seed: u64) -> Value {
    let mut augmentation = json!(p.augmentation);
    if let Some(keys) = augmentation.as_object_mut().filter(|_| !p.augmentation.off) {
        keys.remove("off"); // without the key, the address is that of a version before the key existed
    }
    let mut settings = json!(p.settings);
    if let Some(own) = settings.as_object_mut() {
        own.retain(|key, value| !(LATER.contains(&key.as_str()) && *value == json!(false))); // these came later, too
    }
    json!({
        "seed": seed, "method": p.name, "settings": settings, "image_size": c.data.image_size, "model": p.model,
        "optimization": optimization(&p.optimization), "augmentation": augmentation,
    })
}

/// What training and its evaluation read of the config.
pub(super) fn training_settings(c: &Config, cell: &Cell) -> Result<Value> {
    let (t, l) = (&c.training, c.learning_of(&cell.method)?);
    let mut settings = json!({
        "seed": cell.seed, "method": l.name, "settings": l.settings, "image_size": c.data.image_size,
        "model": cell.model(c)?, "optimization": optimization(&l.optimization),
        "last_batch": t.last_batch, "crop_scale": t.crop_scale,
        "crop_ratio": c.augmentation.crop_ratio, "flip_probability": t.flip_probability,
        "noise_kind": cell.noise_kind, "noise_rate": cell.noise_rate, "evaluation": json!({
            "batch_size": c.evaluation.batch_size, "knn_neighbours": c.evaluation.knn_neighbours,
            "knn_temperature": c.evaluation.knn_temperature,
        }),
    });
    if let Some(own) = settings["settings"].as_object_mut().filter(|_| l.learner.estimates().is_none()) {
        own.remove("estimate_percentile"); // the key came later, and training does not read it
    }
    noise_settings(&mut settings, cell);
    Ok(settings)
}

/// Adds the settings of the noise. A kind without settings adds nothing. Keys that came later add nothing if they have
/// their defaults or labels are clean, so that older addresses stay valid.
fn noise_settings(settings: &mut Value, cell: &Cell) {
    if !cell.noise_settings.is_empty() {
        settings["noise_settings"] = json!(cell.noise_settings);
    }
    let Some(kind) = cell.noise_kind else { return };
    // Nothing is drawn for labels that come from a file.
    if let (NoiseSeed::Fixed(seed), true) = (cell.noise_seed, kind.has_rate()) {
        settings["noise_seed"] = json!(seed);
    }
    if cell.validation != ValidationLabels::default() {
        settings["validation_labels"] = json!(cell.validation);
    }
}

/// What a probe of frozen features reads of the config.
pub(super) fn probe_settings(c: &Config, cell: &Cell) -> Result<Value> {
    let e = &c.evaluation;
    let mut settings = json!({
        "seed": cell.seed, "protocol": cell.protocol, "image_size": c.data.image_size,
        "model": cell.model(c)?, "noise_kind": cell.noise_kind, "noise_rate": cell.noise_rate,
        "batch_size": e.batch_size, "knn_neighbours": e.knn_neighbours, "knn_temperature": e.knn_temperature,
    });
    noise_settings(&mut settings, cell);
    if cell.protocol == Protocol::Linear {
        settings["linear_weight_decays"] = json!(e.linear_weight_decays);
    }
    Ok(settings)
}

/// What [`stage_of`] calls a pretraining.
pub(super) const PRETRAINING: &str = "a pretraining";

/// The stage that reads these settings, in words.
pub(super) fn stage_of(settings: &Value) -> &'static str {
    match () {
        () if settings.get("protocol").is_some() => "a judgement of frozen features",
        () if settings.get("augmentation").is_some() => PRETRAINING,
        () => "a training",
    }
}

/// What a person writes in a config, or on the command line, for the setting at a path: `training.optimizer.lr` of a
/// training's `optimization.optimizer.lr`.
pub(super) fn key_of(settings: &Value, path: &str) -> String {
    let (first, rest) = path.split_once('.').map_or((path, ""), |(first, rest)| (first, rest));
    let pretrains = settings.get("augmentation").is_some();
    let stage = if pretrains { "pretraining" } else { "training" };
    let named = |key: &str| settings.get(key).and_then(Value::as_str).unwrap_or("METHOD").to_string();
    let table = match first {
        "optimization" => stage.to_string(),
        "settings" => format!("{stage}.{}", named("method")),
        "noise_settings" => format!("noise.{}", named("noise_kind")),
        "image_size" => return "data.image_size".to_string(),
        "method" => return format!("{stage}.methods"),
        "noise_kind" => return "noise.kinds".to_string(),
        "noise_rate" => return "noise.rates".to_string(),
        "noise_seed" => return "noise.seed".to_string(),
        "validation_labels" => return "noise.validation".to_string(),
        "given_labels" => return "the labels in noise.given.file (given_labels)".to_string(),
        "protocol" => return "evaluation.protocols".to_string(),
        "crop_ratio" => return "augmentation.crop_ratio".to_string(),
        "last_batch" | "crop_scale" | "flip_probability" => return format!("training.{first}"),
        "batch_size" | "knn_neighbours" | "knn_temperature" | "linear_weight_decays" => {
            return format!("evaluation.{first}");
        }
        "steps" => return "--steps".to_string(),
        "seed" => return "seeds (--seed)".to_string(),
        _ => first.to_string(), // model, augmentation, evaluation are tables of the config
    };
    if rest.is_empty() { table } else { format!("{table}.{rest}") }
}

/// Each setting whose value is another one: its path, and both values.
pub(super) fn apart(before: &Value, now: &Value) -> Vec<(String, Value, Value)> {
    let mut differ = Vec::new();
    add_apart("", before, now, &mut differ);
    differ
}

fn add_apart(path: &str, before: &Value, now: &Value, differ: &mut Vec<(String, Value, Value)>) {
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let of = |table: &serde_json::Map<String, Value>| table.get(key).cloned().unwrap_or(Value::Null);
                add_apart(&format!("{path}.{key}"), &of(a), &of(b), differ);
            }
        }
        _ if before != now => differ.push((path.trim_start_matches('.').to_string(), before.clone(), now.clone())),
        _ => {}
    }
}

/// The first key of the config that training reads and that differs from the settings of a run; none where the config may be
/// the run's. Seed and noise are not compared, since they are the cell's. Pretraining and method may be those of any cell. A
/// key that only one of the two knows is of another version, and is not compared.
pub(super) fn other_setting(c: &Config, settings: &Value) -> Option<String> {
    let (mut seen, mut distinct) = (BTreeSet::new(), Vec::new());
    let protocols = vec![Protocol::Finetune]; // a probe has no settings of training
    let evaluation = config::Evaluation { protocols, ..c.evaluation.clone() };
    for cell in cells(&Config { evaluation, ..c.clone() }) {
        if seen.insert((cell.backbone.clone(), cell.pretraining.clone(), cell.method.clone())) {
            // `wgslab train` knows no pretraining, whatever weights it was given.
            distinct.extend([Cell { pretraining: ssl::NONE.into(), weights: None, ..cell.clone() }, cell]);
        }
    }
    let noise = ["seed", "noise_kind", "noise_rate", "noise_settings", "noise_seed", "validation_labels"];
    let of_cell = |key: &String| noise.contains(&key.as_str());
    let mut first = None;
    for cell in distinct {
        let own = training_settings(c, &cell).ok()?;
        let differs = |(key, value): (&String, &Value)| settings.get(key).is_some_and(|kept| kept != value);
        let other = own.as_object()?.iter().filter(|(key, _)| !of_cell(key)).find(|pair| differs(*pair));
        match other {
            None => return None,
            Some((key, value)) => {
                let deep = apart(&settings[key], value).into_iter().next().map_or(String::new(), |(path, ..)| path);
                let path = format!("{key}.{deep}");
                first = first.or_else(|| Some(key_of(settings, path.trim_end_matches('.'))));
            }
        }
    }
    first
}

fn later_of_optimization() -> Value {
    json!({"lr_floor": 0.0, "milestones": [], "gamma": 0.1, "lr_scaling": "none", "precision": "f32"})
}

/// What a key means that came later and is left out of the settings.
pub(super) fn meant(key: &str) -> Option<Value> {
    let later = || later_of_optimization().as_object_mut().and_then(|all| all.remove(key));
    if LATER.contains(&key) { Some(json!(false)) } else { later() }
}

/// The keys that the optimizer reads. Adam, for instance, does not read `momentum`. A key that came later is left out
/// if it has its default, so that older addresses stay valid.
fn optimization(o: &Optimization) -> Value {
    let (mut settings, later) = (json!(o), later_of_optimization());
    let later_of_optimizer =
        json!({"exclude_bias_and_norm": false, "bias_lr_factor": 1.0, "betas": [0.9, 0.999], "eps": 1e-8});
    if let Some(settings) = settings.as_object_mut() {
        settings.retain(|key, value| later.get(key) != Some(value));
    }
    if let Some(optimizer) = settings["optimizer"].as_object_mut() {
        optimizer.retain(|key, value| o.optimizer.reads(key) && later_of_optimizer.get(key) != Some(value));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pretraining(text: &str) -> Value {
        let config = Config::parse("t", text).unwrap();
        pretraining_settings(&config, &config.pretraining_of("simclr").unwrap(), 0)
    }

    /// The settings of the first cell: random weights, clean labels.
    fn training(text: &str) -> Value {
        let config = Config::parse("t", text).unwrap();
        training_settings(&config, &cells(&config)[0]).unwrap()
    }

    #[test]
    fn keys_that_came_later_move_no_address_while_they_have_their_defaults() {
        let adam = json!({"name": "adam", "lr": 0.001, "weight_decay": 0.0001});
        let settings = json!({
            "epochs": 100, "batch_size": 256, "warmup_epochs": 10, "schedule": "cosine", "optimizer": adam,
        });
        assert_eq!(pretraining("")["optimization"], settings);
        let sgd = json!({"name": "sgd", "lr": 0.01, "weight_decay": 0.0001, "momentum": 0.9, "nesterov": false});
        assert_eq!(training("")["optimization"]["optimizer"], sgd);
    }

    #[test]
    fn a_stage_depends_on_what_it_reads_and_on_nothing_else() {
        let of_neither = [
            "name = \"other\"\nseeds = [0, 1]",
            "[data]\nspecs = [\"phantom:mura\"]",
            "[data]\nval_fraction = 0.2", // the data's fingerprint holds what it changes
            "[data]\nstrict = true",      // it either refuses data or changes nothing
            "[noise]\nrates = [0.0, 0.1]",
            "[pretraining]\nmethods = [\"none\"]",
            "[run]\nloss_every = 3",
            "[run]\nrecompute = true", // it changes no bit
        ];
        let of_pretraining = [
            "[pretraining]\nepochs = 11",
            "[pretraining.simclr]\ntemperature = 0.1",
            "[pretraining.simclr]\nepochs = 11",
            "[pretraining]\nmicro_batch_size = 64",
            "[pretraining.simclr.optimizer]\nlr = 0.5",
            "[pretraining.simclr.augmentation]\nblur_probability = 0.0",
            "[pretraining.optimizer]\nname = \"sgd\"",
            "[pretraining.optimizer]\nname = \"adamw\"",
            "[pretraining.optimizer]\nname = \"lars\"\neta = 0.02",
            "[pretraining.optimizer]\nbetas = [0.5, 0.999]",
            "[pretraining.optimizer]\nexclude_bias_and_norm = true",
            "[pretraining]\nlr_floor = 0.001",
            "[pretraining]\nlr_scaling = \"linear\"",
            "[pretraining]\nprecision = \"f16\"",
            "[pretraining]\nschedule = \"step\"\nmilestones = [60]",
            "[augmentation]\nblur_probability = 0.0",
            "[augmentation]\noff = true",
            "[pretraining.simclr.augmentation]\noff = true",
        ];
        let of_training = [
            "[training]\nepochs = 3",
            "[training.optimizer]\nmomentum = 0.5",
            "[training.cross_entropy]\nepochs = 3",
            "[training]\nlast_batch = \"keep\"",
            "[evaluation]\nbatch_size = 3",
            "[evaluation]\nknn_neighbours = 3",
            "[evaluation]\nknn_temperature = 0.1",
            "[noise]\nrates = [0.1]",
            "[noise]\nrates = [0.1]\nseed = 0",
            "[noise]\nrates = [0.1]\nvalidation = \"noisy\"",
        ];
        let of_both = ["[data]\nimage_size = 16", "[model]\nwidth = 0.5", "[augmentation]\ncrop_ratio = [1.0, 1.0]"];
        for (texts, pretrains, trains) in [
            (&of_neither[..], false, false),
            (&of_pretraining, true, false),
            (&of_training, false, true),
            (&of_both, true, true),
        ] {
            for text in texts {
                assert_eq!(pretraining(text) != pretraining(""), pretrains, "pretraining: {text}");
                assert_eq!(training(text) != training(""), trains, "training: {text}");
            }
        }
        let config = Config::parse("t", "").unwrap();
        let seed = |seed| pretraining_settings(&config, &config.pretraining_of("simclr").unwrap(), seed);
        assert_ne!(seed(0), seed(1));
        assert_ne!(training("seeds = [0]"), training("seeds = [1]"));
    }

    #[test]
    fn given_labels_are_the_same_run_whatever_seed_the_noise_has() {
        let given = "[noise]\nkinds = [\"given\"]\nrates = []";
        assert_eq!(training(given), training(&format!("{given}\nseed = 3")));
        assert_ne!(training(given), training(&format!("{given}\nvalidation = \"noisy\"")));
    }

    /// Each setting of a stage has the key that the config has it under, so that a person finds it.
    #[test]
    fn settings_are_named_as_a_config_names_them() {
        let config = Config::parse("t", "[noise]\nkinds = [\"class_dependent\"]\nrates = [0.4]\nseed = 1").unwrap();
        let text = config.to_toml().unwrap();
        let written: toml::Table = toml::from_str(&text).unwrap();
        let known = |key: &str| {
            let mut parts = key.split('.');
            let first = parts.next().and_then(|part| written.get(part));
            parts.try_fold(first?, |at, part| at.get(part)).map(drop)
        };
        let stages = [
            pretraining_settings(&config, &config.pretraining_of("simclr").unwrap(), 0),
            training_settings(&config, &cells(&config)[0]).unwrap(),
            probe_settings(&config, &Cell { protocol: Protocol::Linear, ..cells(&config)[0].clone() }).unwrap(),
        ];
        for (settings, stage) in stages.iter().zip(["a pretraining", "a training", "a judgement of frozen features"]) {
            assert_eq!(stage_of(settings), stage);
            for (path, ..) in apart(&json!({}), settings) {
                let leaves = settings.pointer(&format!("/{}", path.replace('.', "/"))).and_then(Value::as_object);
                let all: Vec<String> = match leaves {
                    Some(table) => table.keys().map(|key| format!("{path}.{key}")).collect(),
                    None => vec![path],
                };
                for path in all {
                    let key = key_of(settings, &path);
                    assert!(known(&key).is_some() || key.contains("--seed"), "{stage}: {path} is {key}, not in {text}");
                }
            }
        }
    }

    #[test]
    fn a_config_is_not_taken_for_the_one_that_made_other_settings() {
        let config = |text: &str| Config::parse("t", text).unwrap();
        let other = |text: &str| other_setting(&config(text), &training("seeds = [3]\n[noise]\nrates = [0.4]"));
        assert_eq!(other("seeds = [0, 1]\n[noise]\nrates = [0.0]"), None);
        assert_eq!(other("[data]\nimage_size = 22").as_deref(), Some("data.image_size"));
        assert_eq!(other("[training.optimizer]\nlr = 0.5").as_deref(), Some("training.optimizer.lr"));
        assert_eq!(other("[model]\nwidth = 0.5").as_deref(), Some("model.width"));
    }
}
