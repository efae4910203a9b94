//! The step of a stage as a run records it, for those who measure it: real images, nothing trained, nothing written but
//! the decoded images.

use super::job::Job;
use super::results::Phase;
use super::stage::order;
use super::{pretrain, train};
use crate::base::{Error, Result};
use crate::nn::step::Subject;
use crate::noise::NoiseKind;
use crate::ssl;

impl Job<'_> {
    /// The first step of a stage on the images of `spec`, their labels clean.
    pub fn step_of(&self, spec: &str, phase: Phase, seed: u64) -> Result<Subject<'_>> {
        let set = self.load(spec)?;
        let (config, name) = (self.config, set.data.name.clone());
        let cell = self.single(spec, (NoiseKind::default(), 0.0), seed)?;
        // The first that pretrains: the config's own, else the first there is.
        let named = config.pretraining.methods.iter().find(|m| *m != ssl::NONE).map(String::as_str);
        let method = config.pretraining_of(named.unwrap_or(ssl::methods()[0].name))?;
        let optimization = match phase {
            Phase::Pretrain => method.optimization.clone(),
            Phase::Train => config.learning_of(&cell.method)?.optimization,
        };
        let batch = pretrain::batch_of(optimization.batch_size, set.train.store.count)?;
        self.say_batch(optimization.batch_size, batch);
        let chosen = order(seed, 0, set.train.store.count);
        let indices: Vec<u32> = chosen[..batch].iter().map(|&i| i as u32).collect();
        let mut subject = Subject {
            name: String::new(),
            images: batch,
            record: Box::new(|| Ok(Default::default())),
            state: set.train.resident.clone(),
            inputs: vec![("indices", bytemuck::cast_slice(&indices).to_vec())],
            scalars: vec![("lr", optimization.optimizer.lr as f32), ("epoch", 0.0), ("ring_row", 0.0)],
        };
        let (labels, classes, images) = (set.data.train.labels, set.data.classes.len(), set.train);
        match phase {
            Phase::Pretrain => {
                subject.name = format!("a step of pretraining on {name}");
                // Of several turns, the first.
                subject.record = Box::new(move || {
                    let first = pretrain::record(self, &images, &method, seed, batch)?.into_iter().next();
                    first.map(|r| (r.tape, r.params)).ok_or_else(|| Error::Failed("a method without a turn".into()))
                });
            }
            Phase::Train => {
                subject.name = format!("a step of training on {name}");
                subject.inputs.extend(train::inputs(&labels, &labels, (&indices, classes), None));
                subject.record = Box::new(move || {
                    let first = train::record(self, &images, &cell, classes, batch)?.into_iter().next();
                    first.map(|r| (r.tape, r.params)).ok_or_else(|| Error::Failed("a learner without a turn".into()))
                });
            }
        }
        Ok(subject)
    }
}
