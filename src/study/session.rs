//! What every stage is given: the device, the config, the folder, who is told of it, the tuned table; and a tape's schedule on
//! that device.

use super::config::Config;
use super::names::KERNELS;
use crate::base::progress::Progress;
use crate::base::{Result, files};
use crate::device::Gpu;
use crate::device::tune::Table;
use crate::kernels::{fuse, tune};
use crate::nn::{Backbone, Mode, Params};
use crate::tape::{Options, Schedule, Tape, Type};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What a command gives to the study.
pub struct Job<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// The resolved config.
    pub config: &'a Config,
    /// Where results go.
    pub out: &'a Path,
    /// Where data SPECs are looked for.
    pub data_root: &'a Path,
    /// Who is told of it.
    pub progress: &'a dyn Progress,
    /// Raised by a signal: save and stop.
    pub stop: &'a AtomicBool,
    /// Which variants won on this adapter; empty where nothing was tuned.
    pub kernels: Table,
}

impl Job<'_> {
    /// The schedule of a tape with the variants of the job's table. It keeps what the backward pass reads: a run's address
    /// stands for it, since what [`Job::scheduled`] computes again changes no bit.
    pub(super) fn schedule(&self, tape: &Tape) -> Result<Schedule> {
        self.schedule_by(tape, false)
    }

    /// The schedule of a tape as a run takes it: as the config's `run.recompute` says.
    pub(super) fn scheduled(&self, tape: &Tape) -> Result<Schedule> {
        self.schedule_by(tape, self.config.run.recompute)
    }

    /// The schedule of a tape that keeps what the backward pass reads, or computes it again.
    pub(super) fn schedule_by(&self, tape: &Tape, recompute: bool) -> Result<Schedule> {
        let choose = tune::chooser(&self.kernels);
        let options = Options { choose: &choose, recompute, ..fuse::options(self.gpu.caps()) };
        let schedule = Schedule::new(tape, &options)?;
        if !self.kernels.entries.is_empty() && !tune::expect_fresh(self.gpu, &schedule, &self.kernels)? {
            let what = "warning: the table of kernels has no result for any op of this step; tune with its sizes";
            self.progress.note(what);
        }
        Ok(schedule)
    }

    /// Writes a tuned table beside the runs that use it, so that going on, and other processes, use the same.
    pub(super) fn keep_kernels(&self) -> Result<()> {
        let path = self.out.join(KERNELS);
        if self.kernels.entries.is_empty() || files::exists(&path)? {
            return Ok(());
        }
        self.kernels.save(&path)
    }

    /// Names and types of a backbone's tensors, without prefix.
    pub(super) fn backbone_tensors(&self, backbone: &dyn Backbone) -> Result<Vec<(String, Type)>> {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let size = self.config.data.image_size;
        let x = t.input("x", Type::f32([2, self.config.data.channels, size, size]))?;
        backbone.forward(&mut t, &mut params, "", x, Mode::Eval)?;
        Ok(params.list().iter().map(|p| (p.name.clone(), p.ty)).collect())
    }
}
