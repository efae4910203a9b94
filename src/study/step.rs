//! The step of a stage as a run records it, to be measured. It uses real images, trains nothing, and writes only the
//! decoded images.

use super::batches::batch_of;
use super::grid::single;
use super::results::Phase;
use super::session::Job;
use super::stage::order;
use super::turns::{Recorded, common, scalar};
use super::{pretrain, train};
use crate::base::{Error, Result};
use crate::nn::step::MeasuredStep;
use crate::nn::{Params, Precision, Progress};
use crate::noise::NoiseKind;
use crate::noise::learn::{Epoch, Known, informed};
use crate::ssl;
use crate::tape::Tape;

impl Job<'_> {
    /// The first step of a stage on the images of `spec`, with clean labels.
    pub fn step_of(&self, spec: &str, phase: Phase, seed: u64) -> Result<MeasuredStep<'_>> {
        let set = self.load(spec)?;
        let (config, name) = (self.config, set.data.name.clone());
        let cell = single(config, spec, (NoiseKind::default(), None), seed)?;
        // Only a step of pretraining needs a method. The first of a grid may be one that this backbone does not take.
        let method = match phase {
            Phase::Pretrain => Some(config.pretraining_of(config.pretraining.first())?),
            Phase::Train => None,
        };
        let optimization = match &method {
            Some(method) => method.optimization.clone(),
            None => config.learning_of(&cell.method)?.optimization,
        };
        let elements = match optimization.precision {
            Precision::F32 => String::new(),
            halves => format!(" in {halves}"),
        };
        let batch = match &method {
            Some(method) => pretrain::batch_for(method, set.train.store.count)?,
            None => batch_of(optimization.batch_size, set.train.store.count)?,
        };
        self.say_batch(optimization.batch_size, batch, set.train.store.count);
        let chosen = order(seed, 0, set.train.store.count);
        let indices: Vec<u32> = chosen[..batch].iter().map(|&i| i as u32).collect();
        let (labels, classes, images) = (set.data.train.labels, set.data.classes.len(), set.train);
        let state = images.resident.clone();
        let at = Progress { seed, epoch: 0, epochs: optimization.epochs, step: 0, steps: 1, repeat: 0, before: 0 };
        let mut inputs = vec![("indices", bytemuck::cast_slice(&indices).to_vec())];
        let (name, record, own): (String, Record<'_>, _) = match method {
            Some(method) => {
                let own = method.method.scalars(at);
                let name = format!("a step of pretraining by {} on {name}{elements}", method.name);
                inputs.extend(method.inputs(at, &indices, config.data.image_size));
                let record = move || first_turn(pretrain::record(self, &images, &method, seed, batch)?);
                (name, Box::new(record), own)
            }
            None => {
                let known = Known::of(&labels, &labels, classes)?;
                // An estimate from a first stage would not change the step's work.
                let known = Known { estimated: Some(known.transition.clone()), ..known };
                let learner = informed(&config.learning_of(&cell.method)?.learner, &known)?;
                // The plan of the first epoch. No loss is known before it.
                let losses = vec![vec![0.0; labels.len()]; learner.turns().len()];
                let start = Epoch { at, losses, given: &labels, classes, order: chosen };
                let plan = learner.plans_epochs().then(|| learner.before_epoch(&start)).transpose()?;
                inputs.extend(train::inputs(&labels, &labels, (&indices, classes), plan.as_ref()));
                inputs.extend(learner.inputs(at, &indices));
                let own = learner.scalars(at);
                let record = move || first_turn(train::record(self, &images, &cell, classes, batch)?);
                (format!("a step of training on {name}{elements}"), Box::new(record), own)
            }
        };
        // The inputs and scalars of the stage and the method that the first turn reads.
        let schedule = self.schedule(&record()?.0)?;
        inputs.retain(|i| schedule.inputs.iter().any(|named| named.0 == i.0));
        let scaled = optimization.for_batch(batch);
        let common = common(&scaled, scaled.optimizer.lr, [0; 3]);
        let value = |name: &String| Some((name.clone(), scalar(name, common, &own)?));
        let scalars = schedule.scalars.iter().filter_map(value).collect();
        Ok(MeasuredStep { name, images: batch, record, state, inputs, scalars, recompute: config.run.recompute })
    }
}

impl Job<'_> {
    /// The recordings of a step of each method of the config on the images of `spec`, with the method's name: of every turn, and
    /// with micro-batches of every part.
    pub fn recordings_of(&self, spec: &str) -> Result<Vec<(String, Vec<Tape>)>> {
        let (set, config, seed) = (self.load(spec)?, self.config, 0);
        let tapes =
            |turns: Vec<Recorded>| turns.into_iter().flat_map(|turn| turn.tapes).map(|(tape, _)| tape).collect();
        let mut all = Vec::new();
        for name in config.pretraining.methods.iter().filter(|name| *name != ssl::NONE) {
            let method = config.pretraining_of(name)?;
            let batch = pretrain::batch_for(&method, set.train.store.count)?;
            all.push((name.clone(), tapes(pretrain::record(self, &set.train, &method, seed, batch)?)));
        }
        for name in &config.training.methods {
            let (mut cell, learning) =
                (single(config, spec, (NoiseKind::default(), None), seed)?, config.learning_of(name)?);
            cell.method = name.as_str().into();
            let batch = batch_of(learning.optimization.batch_size, set.train.store.count)?;
            let turns = train::record(self, &set.train, &cell, set.data.classes.len(), batch)?;
            all.push((name.clone(), tapes(turns)));
        }
        Ok(all)
    }
}

/// The tape and the parameters of the first turn. With several turns, only the first is measured.
fn first_turn(turns: Vec<Recorded>) -> Result<(Tape, Params)> {
    let turn = turns.into_iter().next().map(|turn| (turn.tapes, turn.params));
    let (mut tapes, params) = turn.ok_or_else(|| Error::Failed("a method without a turn".into()))?;
    match (tapes.len(), tapes.pop()) {
        (1, Some((tape, _))) => Ok((tape, params)),
        _ => Err(Error::Usage(
            "a step in micro-batches is several recordings, and one is measured; use micro_batch_size = 0".into(),
        )),
    }
}

/// Records the step.
type Record<'a> = Box<dyn Fn() -> Result<(Tape, Params)> + 'a>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::device::tune::Table;
    use crate::study::Config;
    use crate::study::testing::with_job;
    use crate::tape::{Feed, Options, Plan, Schedule};

    /// Makes and runs the step.
    fn takes_a_step(job: &Job<'_>, spec: &str, phase: Phase) -> Result<()> {
        let mut subject = job.step_of(spec, phase, 0)?;
        let (tape, params) = (subject.record)()?;
        params.fill(job.gpu, &mut subject.state, 0)?;
        subject.state.insert_missing(job.gpu, &tape.state_types())?;
        let schedule = Schedule::new(&tape, &Options::new(job.gpu.caps()))?;
        let plan = Plan::new(job.gpu, schedule, &subject.state)?;
        let mut feed = Feed::new();
        feed.inputs.extend(subject.inputs.iter().map(|(n, b)| (*n, b.as_slice())));
        feed.scalars.extend(subject.scalars.iter().map(|(n, v)| (n.as_str(), *v)));
        plan.run(job.gpu, &feed)?;
        Ok(())
    }

    /// A config of a method on a small network with the narrowest possible layers.
    fn narrow(entry: &crate::nn::listed::Entry<dyn crate::ssl::Method>, model: &str) -> String {
        let name = entry.name;
        let keys =
            ["projection_dim", "prediction_hidden_dim", "latent_dim", "hidden_dim", "tile_dim", "decoder_embed_dim"];
        let own = keys.iter().filter(|key| entry.overlay.contains(&format!("\n{key} = ")));
        let mut own: String = own.map(|key| format!("{key} = 8\n")).collect();
        if entry.overlay.contains("projection_dims") {
            own += "projection_dims = [8, 4]\n";
        }
        own += match name {
            "moco" => "batch_norm_splits = 2\nqueue_size = 16\n",
            "mae" => "decoder_depth = 1\ndecoder_num_heads = 2\nmask_ratio = 0.5\n",
            _ => "",
        };
        format!(
            "[data]\nstore_size = 16\nimage_size = 16\nchannels = 3\n[model]\n{model}\n[pretraining]\nmethods = [\"{name}\"]\n\
             [pretraining.{name}]\nbatch_size = 4\n{own}"
        )
    }

    /// Each method either pretrains each kind of network, or its config is refused with a sentence. Steps of the ResNet
    /// are only recorded here; `kernels-tests/golden_ssl.rs` runs them.
    #[test]
    fn every_method_takes_every_kind_of_backbone_or_says_why_not() {
        let (spec, mut refused) = ("phantom:covid?train=8&val=3&test=3", Vec::new());
        with_job("", &Silent, |job| {
            for entry in crate::ssl::methods().iter().filter(|m| !m.name.starts_with("test_")) {
                for arch in ["resnet18", "vit_tiny"] {
                    let keys = if arch == "resnet18" { "width = 0.0625" } else { "patch_size = 8" };
                    let text = narrow(entry, &format!("arch = \"{arch}\"\n{keys}"));
                    let config = match Config::parse("t", &text) {
                        Ok(config) => config,
                        Err(e) => {
                            let due = format!("model.arch is {arch:?}, and {} ", entry.name);
                            assert!(e.to_string().contains(&due), "{text}: {e}");
                            refused.push((entry.name, arch));
                            continue;
                        }
                    };
                    let job = &Job { config: &config, kernels: Table::default(), ..*job };
                    let taken = match arch {
                        "resnet18" => job.step_of(spec, Phase::Pretrain, 0).map(drop),
                        _ => takes_a_step(job, spec, Phase::Pretrain),
                    };
                    taken.unwrap_or_else(|e| panic!("{text}: {e}"));
                }
            }
            assert_eq!(refused, [("jigsaw", "vit_tiny"), ("mae", "resnet18")]);
        });
    }

    /// A step can be fed whatever its method reads: scopes, its own scalars and inputs, plans of epochs.
    #[test]
    fn the_step_of_every_method_runs_with_what_it_is_fed() {
        let spec = "phantom:covid?train=24&val=8&test=9";
        for (pretraining, training) in [
            ("simclr", "cross_entropy"),
            ("test_duel", "test_pair"),
            ("test_teacher", "dividemix"),
            ("test_pretext", "forward"),
        ] {
            let text = format!(
                "[data]\nstore_size = 16\nimage_size = 16\n[model]\nwidth = 0.0625\n[pretraining]\n\
                 methods = [\"{pretraining}\"]\nbatch_size = 8\n[training]\nmethods = [\"{training}\"]\nbatch_size = 8\n"
            );
            with_job(&text, &Silent, |job| {
                for phase in [Phase::Pretrain, Phase::Train] {
                    let taken = takes_a_step(job, spec, phase);
                    taken.unwrap_or_else(|e| panic!("{pretraining} {training}: {e}"));
                }
            });
        }
    }
}
