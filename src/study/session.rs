//! What every stage is given: the device, the config, the folder, the listener, the tuned table. Also a tape's schedule
//! on that device.

use super::config::Config;
use super::names::KERNELS;
use super::shared::{Made, Shared};
use crate::base::progress::Progress;
use crate::base::{Result, files};
use crate::device::Gpu;
use crate::device::tune::Table;
use crate::kernels::{fuse, tune};
use crate::nn::{Backbone, Mode, Params};
use crate::tape::{Options, Schedule, Tape, Type};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What a command gives to a study.
pub struct Job<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// The resolved config.
    pub config: &'a Config,
    /// The folder for results.
    pub out: &'a Path,
    /// The folder that data SPECs are relative to.
    pub data_root: &'a Path,
    /// The listener for progress and notes.
    pub progress: &'a dyn Progress,
    /// Set when a signal asks to save and stop.
    pub stop: &'a AtomicBool,
    /// The variants that won on this adapter. It is empty if nothing was tuned.
    pub kernels: Table,
    /// What the stages of this process share.
    pub shared: &'a Shared,
}

impl Job<'_> {
    /// The schedule of a tape with the variants of the job's table. It keeps what the backward pass reads. The address
    /// of a run is made from this schedule even if the run computes values again ([`Job::scheduled`]), because that
    /// changes no bit.
    pub(super) fn schedule(&self, tape: &Tape) -> Result<Schedule> {
        self.schedule_by(tape, false)
    }

    /// The schedule of a tape as a run uses it, according to the config's `run.recompute`.
    pub(super) fn scheduled(&self, tape: &Tape) -> Result<Schedule> {
        self.schedule_by(tape, self.config.run.recompute)
    }

    /// The schedule of a tape. With `recompute` it computes again what the backward pass reads, else it keeps it. A
    /// tape that was scheduled before in this process, for another cell or for this one's address, has the same.
    pub(super) fn schedule_by(&self, tape: &Tape, recompute: bool) -> Result<Schedule> {
        let (signature, table, caps) = (tape.signature(), self.table_hash(), self.gpu.caps().clone());
        self.shared.schedule(Made { signature, recompute, table, caps }, || self.schedule_anew(tape, recompute))
    }

    fn schedule_anew(&self, tape: &Tape, recompute: bool) -> Result<Schedule> {
        let choose = tune::chooser(&self.kernels);
        let options = Options { choose: &choose, recompute, ..fuse::options(self.gpu.caps()) };
        let schedule = Schedule::new(tape, &options)?;
        if !self.kernels.entries.is_empty() && !tune::expect_fresh(self.gpu, &schedule, &self.kernels)? {
            let what = "warning: the table of kernels has no result for any op of this step; tune with its sizes";
            self.progress.note(what);
        }
        Ok(schedule)
    }

    /// The hash of the table of tuned kernels. `None` without one.
    pub(super) fn table_hash(&self) -> Option<String> {
        (!self.kernels.entries.is_empty()).then(|| self.kernels.hash())
    }

    /// Writes a tuned table beside the runs that use it, so that later runs and other processes use the same table.
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
