//! Which plans a config's stages would run, and tuning them ahead of time.

use super::config::Protocol;
use super::grid::cells;
use super::names::KERNELS;
use super::session::Job;
use super::{pretrain, probe, train};
use crate::base::progress::Progress;
use crate::base::{Error, Result};
use crate::device::Gpu;
use crate::device::tune::Table;
use crate::kernels::tune::{self, Subject, Tuning};
use crate::tape::Schedule;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

impl Job<'_> {
    /// The schedule of every plan that the cells of the config would run: each dataset's pretraining steps, training
    /// steps and evaluation, once for each method. Seeds and noise change no shape. The datasets are decoded for this,
    /// since the numbers of images and classes decide the sizes of batches and heads.
    pub fn schedules(&self) -> Result<Vec<Schedule>> {
        let (mut schedules, all) = (Vec::new(), cells(self.config));
        for spec in &self.config.data.specs {
            let set = self.load(spec)?;
            let (mut pretrained, mut trained) = (BTreeSet::new(), BTreeSet::new());
            for cell in all.iter().filter(|c| *c.spec == **spec) {
                if let Some(method) =
                    cell.pretrained_by().filter(|m| pretrained.insert((&cell.backbone, m.to_string())))
                {
                    let method = self.config.pretraining_on(method, &cell.backbone)?;
                    schedules.extend(pretrain::schedules(self, &set.train, &method, cell.seed)?);
                }
                // Another backbone has other shapes.
                let backbone = cell.model(self.config)?;
                if trained.insert((&cell.method, serde_json::json!(backbone).to_string())) {
                    schedules.extend(match cell.protocol {
                        Protocol::Finetune => train::schedules(self, &set, cell)?,
                        Protocol::Linear | Protocol::Knn => probe::schedules(self, &set, cell)?,
                    });
                }
            }
        }
        Ok(schedules)
    }

    /// The table for the whole study. It is written into the cache, where an interrupted tuning continues. When it is
    /// complete, it is put beside the runs.
    pub fn tuned(&self, tuning: &Tuning<'_>) -> Result<Table> {
        self.tune(&self.out.join("cache").join(KERNELS), tuning)
    }

    /// A table with every op of the config's plans. Ops that the table in `path` lacks are raced. An interruption keeps
    /// the races before it.
    pub fn tune(&self, path: &Path, tuning: &Tuning<'_>) -> Result<Table> {
        let with = |table: &Table| Job { kernels: table.clone(), ..*self }.schedules();
        tune(self.gpu, &with, (path, tuning), self.progress, self.stop)
    }
}

/// Races the ops of the schedules for which the table in `path` has no result. It saves the table after each race, and
/// returns it. `schedules` makes the schedules with the variants of a table.
pub fn tune(
    gpu: &Gpu,
    schedules: &dyn Fn(&Table) -> Result<Vec<Schedule>>,
    (path, tuning): (&Path, &Tuning<'_>),
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Table> {
    let (adapter, driver) = (gpu.adapter().name.as_str(), gpu.adapter().driver.as_str());
    let mut table = Table::load(path, adapter, driver, "delete it, and its races are run again")?
        .unwrap_or_else(|| Table::new(adapter, driver));
    let first = schedules(&Table::default())?;
    race(gpu, &first, &mut table, (path, tuning), progress, stop)?;
    // A product of cooperative matrices is not fused with what follows it. If another variant won its race, more can be
    // fused, and the fused op has a race of its own. Only results of this session decide what is fused.
    if !gpu.caps().cooperative.is_empty() {
        let steps = first.iter().flat_map(|schedule| &schedule.steps);
        let fresh: BTreeSet<String> = steps.map(|step| Subject::of(step, gpu.caps()).key).collect();
        let mut known = table.clone();
        known.entries.retain(|key, _| fresh.contains(key));
        race(gpu, &schedules(&known)?, &mut table, (path, tuning), progress, stop)?;
    }
    Ok(table)
}

/// Races the ops of `schedules` that `table` has no result for. It saves the table after each race.
fn race(
    gpu: &Gpu,
    schedules: &[Schedule],
    table: &mut Table,
    (path, tuning): (&Path, &Tuning<'_>),
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<()> {
    let mut subjects: BTreeMap<String, Subject> = BTreeMap::new();
    for schedule in schedules {
        let missing = tune::missing(gpu, schedule, table)?;
        subjects.extend(missing.into_iter().map(|s| (s.key.clone(), s)));
    }
    progress.stage(&format!("tune on {}", gpu.adapter().name), subjects.len() as u64, 0, "ops");
    for (i, (key, subject)) in subjects.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::TryAgain(format!("stopped after {i} races; the same command goes on from there")));
        }
        let entry = tune::tune(gpu, subject, tuning)?;
        for (variant, why) in &entry.refused {
            progress.note(&format!("warning: {key} [{variant}] is not used: {why}"));
        }
        if let Some(why) = &entry.tie {
            progress.note(&format!("{key} [{}]: times are equal and the compiler decides: {why}", entry.variant));
        }
        progress.step(i as u64 + 1, &format!("{} takes {}", subject.op.name(), entry.variant));
        table.entries.insert(key.clone(), entry);
        table.save(path)?;
    }
    progress.done(&format!("{} ops tuned, {} known before", subjects.len(), table.entries.len() - subjects.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Tuning;
    use crate::base::progress::Silent;
    use crate::study::testing::with_job;
    use crate::tape::Schedule;

    #[test]
    fn an_unfinished_race_that_is_damaged_is_run_again_and_not_brought_back() {
        with_job("", &Silent, |job| {
            let path = job.out.join("kernels.json");
            std::fs::write(&path, "{").unwrap();
            let with = (path.as_path(), &Tuning::usual(job.gpu.caps()));
            let e = super::tune(job.gpu, &|_| Ok(Vec::new()), with, &Silent, job.stop).unwrap_err().to_string();
            assert!(e.contains("kernels.json is damaged") && e.contains("delete it, and its races"), "{e}");
        });
    }

    #[test]
    fn every_stage_has_its_plans() {
        let text = "seeds = [0, 1]\n[data]\nspecs = [\"phantom:covid?train=24&val=8&test=9\"]\nstore_size = 16\n\
                    image_size = 16\n[model]\nwidth = 0.125\n[pretraining]\nmethods = [\"none\", \"simclr\"]\n\
                    batch_size = 8\n[training]\nbatch_size = 8\n";
        with_job(text, &Silent, |job| {
            let schedules = job.schedules().unwrap();
            assert_eq!(schedules.len(), 6, "a pretraining step and a look, a training step, passes over three splits");
            let ops = |s: &Schedule| s.steps.iter().map(|s| s.op.name().to_string()).collect::<Vec<_>>();
            let having = |name: &str| schedules.iter().filter(|s| ops(s).iter().any(|o| o == name)).count();
            assert_eq!((having("nt_xent"), having("cross_entropy")), (1, 1));
        });
    }
}
