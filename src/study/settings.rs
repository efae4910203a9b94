//! What a stage reads of the config: with its seed, its part of the address.

use super::config::{Config, Optimization, PretrainingMethod};
use super::grid::{Cell, cells};
use super::pretrain::optimizer;
use serde_json::{Value, json};

/// What pretraining reads of the config.
pub(super) fn pretraining_settings(c: &Config, method: PretrainingMethod, seed: u64) -> Value {
    let p = &c.pretraining;
    json!({
        "seed": seed, "method": method, "image_size": c.data.image_size, "model": c.model,
        "optimization": optimization(&p.optimization()), "augmentation": c.augmentation,
        "temperature": p.temperature, "projection_dims": p.projection_dims,
    })
}

/// What training and its evaluation read of the config.
pub(super) fn training_settings(c: &Config, cell: &Cell) -> Value {
    let t = &c.training;
    json!({
        "seed": cell.seed, "method": cell.method, "image_size": c.data.image_size, "model": c.model,
        "optimization": optimization(&t.optimization()), "last_batch": t.last_batch, "crop_scale": t.crop_scale,
        "crop_ratio": c.augmentation.crop_ratio, "flip_probability": t.flip_probability,
        "noise_kind": cell.noise_kind, "noise_rate": cell.noise_rate, "evaluation": c.evaluation,
    })
}

/// The key of what training reads of the config that differs from the settings of a run; none where the config may be the
/// run's. Seed, method and noise are of the cell, and a key that only one of the two knows is of another version.
pub(super) fn other_setting(c: &Config, settings: &Value) -> Option<String> {
    let own = training_settings(c, cells(c).first()?);
    let of_cell = |key: &String| ["seed", "method", "noise_kind", "noise_rate"].contains(&key.as_str());
    let differs = |(key, value): (&String, &Value)| settings.get(key).is_some_and(|kept| kept != value);
    let own = own.as_object()?;
    own.iter().filter(|(key, _)| !of_cell(key)).find(|pair| differs(*pair)).map(|(key, _)| key.clone())
}

/// The optimizer with the constants that it reads: Adam takes no notice of a momentum.
fn optimization(o: &Optimization) -> Value {
    json!({
        "epochs": o.epochs, "batch_size": o.batch_size, "lr": o.lr, "warmup_epochs": o.warmup_epochs,
        "schedule": o.schedule, "optimizer": format!("{:?}", optimizer(o)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pretraining(text: &str) -> Value {
        pretraining_settings(&Config::parse("t", text).unwrap(), PretrainingMethod::Simclr, 0)
    }

    /// Of the first cell: random weights, clean labels.
    fn training(text: &str) -> Value {
        let config = Config::parse("t", text).unwrap();
        training_settings(&config, &cells(&config)[0])
    }

    const ADAM: &str = "[pretraining]\nmomentum = 0.5";

    #[test]
    fn a_stage_depends_on_what_it_reads_and_on_nothing_else() {
        let of_neither = [
            "name = \"other\"\nseeds = [0, 1]",
            "[data]\nspecs = [\"phantom:mura\"]",
            "[data]\nval_fraction = 0.2", // what it changes is in the data's fingerprint
            "[noise]\nrates = [0.0, 0.1]",
            "[pretraining]\nmethods = [\"none\"]",
            "[run]\nloss_every = 3",
            ADAM,
        ];
        let of_pretraining = [
            "[pretraining]\nepochs = 11",
            "[pretraining]\ntemperature = 0.1",
            "[pretraining]\noptimizer = \"sgd\"",
            "[augmentation]\nblur_probability = 0.0",
        ];
        let of_training = [
            "[training]\nepochs = 3",
            "[training]\nmomentum = 0.5",
            "[training]\nlast_batch = \"keep\"",
            "[evaluation]\nbatch_size = 3",
            "[evaluation]\nknn_neighbours = 3",
            "[evaluation]\nknn_temperature = 0.1",
            "[noise]\nrates = [0.1]",
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
        let seed = |seed| pretraining_settings(&Config::parse("t", "").unwrap(), PretrainingMethod::Simclr, seed);
        assert_ne!(seed(0), seed(1));
        assert_ne!(training("seeds = [0]"), training("seeds = [1]"));
    }

    #[test]
    fn a_config_is_not_taken_for_the_one_that_made_other_settings() {
        let config = |text: &str| Config::parse("t", text).unwrap();
        let other = |text: &str| other_setting(&config(text), &training("seeds = [3]\n[noise]\nrates = [0.4]"));
        assert_eq!(other("seeds = [0, 1]\n[noise]\nrates = [0.0]"), None);
        assert_eq!(other("[data]\nimage_size = 22").as_deref(), Some("image_size"));
        assert_eq!(other("[training]\nlr = 0.5").as_deref(), Some("optimization"));
        assert_eq!(other("[model]\nwidth = 0.5").as_deref(), Some("model"));
    }
}
