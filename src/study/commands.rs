//! The commands that run one stage alone, into a folder that is not a study's.

use super::config::Config;
use super::grid::{AskedNoise, single};
use super::memory::Planned;
use super::pretrain::Pretraining;
use super::results::CellResult;
use super::session::Job;
use super::start::{Beginning, Begun, Brought, Start};
use super::{pretrain, train};
use crate::base::Result;
use std::path::PathBuf;

/// What `wgslab pretrain` may ask for besides its config.
#[derive(Clone, Copy, Debug, Default)]
pub struct PretrainOptions<'a> {
    /// The weights that it starts from.
    pub beginning: Beginning<'a>,
    /// Ends after this many steps. Rates and schedules are those of the config's epochs, so these steps are the first
    /// of the whole run.
    pub steps: Option<usize>,
}

impl Job<'_> {
    /// Pretrains on one dataset into `out`. Returns the path of the backbone.
    pub fn pretrain(&self, spec: &str, method: &str, seed: u64, how: PretrainOptions<'_>) -> Result<PathBuf> {
        let method = self.config.pretraining_of(method)?;
        let begun = Begun::read(self.config, self.data_root, how.beginning)?;
        let images = self.load_train(spec)?;
        self.keep_kernels()?;
        let one = Pretraining { images: &images, method: &method, seed, begun: &begun, limit: how.steps };
        let made = pretrain::provenance(self, one)?;
        Ok(pretrain::run(self, one, self.out, &made)?.0)
    }

    /// What [`Job::pretrain`] would need of the device. It is an error if that does not fit. It writes only the decoded
    /// images.
    pub fn plan_pretraining(&self, spec: &str, method: &str, seed: u64) -> Result<Planned> {
        let method = self.config.pretraining_of(method)?;
        let images = self.load_train(spec)?;
        pretrain::plan(self, &images, &method, seed)
    }

    /// What [`Job::train`] from random weights would need of the device. It is an error if that does not fit. It writes
    /// only the decoded images.
    pub fn plan_training(&self, spec: &str, noise: AskedNoise, seed: u64) -> Result<Planned> {
        let (set, cell) = (self.load(spec)?, single(self.config, spec, noise, seed)?);
        train::plan(self, &set, &cell, &format!("train on {}, seed {seed}", set.data.name))
    }

    /// Trains on one dataset into `out`, from `weights` or else from random weights.
    pub fn train(&self, spec: &str, weights: Option<Brought<'_>>, noise: AskedNoise, seed: u64) -> Result<CellResult> {
        let start = weights.map(Start::given).transpose()?;
        let own = start.as_ref().and_then(|s| Some((&s.path, s.model.clone()?)));
        match own.filter(|(_, model)| *model != self.config.model.clone().settled()) {
            None => self.train_from(spec, start.as_ref(), noise, seed),
            Some((path, model)) => {
                let path = path.display();
                self.progress
                    .note(&format!("{path} holds a backbone {model}: that one is trained, not the config's [model]"));
                let config = Config { model, ..self.config.clone() };
                let job = Job { config: &config, kernels: self.kernels.clone(), ..*self };
                job.train_from(spec, start.as_ref(), noise, seed)
            }
        }
    }

    fn train_from(&self, spec: &str, start: Option<&Start>, noise: AskedNoise, seed: u64) -> Result<CellResult> {
        let set = self.load(spec)?;
        self.keep_kernels()?;
        let mut cell = single(self.config, spec, noise, seed)?;
        cell.name = format!("train on {}, seed {seed}", set.data.name);
        train::run(self, &set, &cell, start, self.out)
    }
}
