//! Which plans a config's stages would run: what the tuner tunes ahead of time.

use super::config::PretrainingMethod;
use super::grid::cells;
use super::{Job, pretrain, train};
use crate::base::Result;
use crate::tape::Schedule;
use std::collections::BTreeSet;

impl Job<'_> {
    /// The schedule of every plan that the cells of the config would run: each dataset's pretraining steps, training
    /// steps and evaluation, once for each method. Seeds and noise change no shape. Decodes the datasets, since how many
    /// images and classes there are decides batches and heads.
    pub fn schedules(&self) -> Result<Vec<Schedule>> {
        let (mut schedules, all) = (Vec::new(), cells(self.config));
        for spec in &self.config.data.specs {
            let set = self.load(spec)?;
            let (mut pretrained, mut trained) = (BTreeSet::new(), BTreeSet::new());
            for cell in all.iter().filter(|c| c.spec == *spec) {
                if cell.pretraining != PretrainingMethod::None && pretrained.insert(cell.pretraining) {
                    schedules.extend(pretrain::schedules(self, &set.train, cell.seed)?);
                }
                if trained.insert(cell.method) {
                    schedules.extend(train::schedules(self, &set, cell)?);
                }
            }
        }
        Ok(schedules)
    }
}

#[cfg(test)]
mod tests {
    use crate::study::progress::Silent;
    use crate::study::testing::with_job;
    use crate::tape::Schedule;

    #[test]
    fn every_stage_has_its_plans() {
        let text = "seeds = [0, 1]\n[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 16\n\
                    image_size = 16\n[model]\nwidth = 0.125\n[pretraining]\nmethods = [\"none\", \"simclr\"]\n\
                    batch_size = 8\n[training]\nbatch_size = 8\n";
        with_job(text, &Silent, |job| {
            let schedules = job.schedules().unwrap();
            assert_eq!(schedules.len(), 5, "a pretraining step, a training step, passes over three splits");
            let ops = |s: &Schedule| s.steps.iter().map(|s| s.op.name().to_string()).collect::<Vec<_>>();
            let having = |name: &str| schedules.iter().filter(|s| ops(s).iter().any(|o| o == name)).count();
            assert_eq!((having("nt_xent"), having("cross_entropy")), (1, 1));
        });
    }
}
