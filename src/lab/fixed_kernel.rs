//! The lab's own kernels, which are no ops and not in `shaders/`. The reference is timed among the rows. The flush
//! empties the caches before a cold sample. Both do a fixed amount of work.

use super::{Row, Timer};
use crate::base::{Result, files};
#[cfg(feature = "study")]
use crate::device::Tree;
use crate::device::dispatch::ParamBlocks;
use crate::device::{Buffer, Dispatch, Gpu, Kernel, Piece};
use crate::tape::Cost;
#[cfg(feature = "study")]
use crate::tape::recording::{self, Call, Memory, Recording, Role};
use std::path::Path;
#[cfg(feature = "study")]
use std::sync::Arc;

const REFERENCE: &[Piece] = &[Piece { path: "src/lab/reference.wgsl", text: include_str!("reference.wgsl") }];
const FLUSH: &[Piece] = &[Piece { path: "src/lab/flush.wgsl", text: include_str!("flush.wgsl") }];

/// Workgroups of the reference kernel, of 64 invocations with a vec4 each.
const GROUPS: u32 = 1024;
/// Length of an invocation's chain of fused multiply-adds.
const CHAIN: u64 = 64;
/// Bytes written before a cold sample on a GPU: more than the caches of any GPU today, unless the adapter cannot bind
/// so much.
const GPU_FLUSH: u64 = 512 << 20;
/// The same for a software adapter, if the size of the processor's last cache is unknown.
const CPU_FLUSH: u64 = 64 << 20;

/// A kernel with the buffer it works on.
pub(super) struct FixedKernel {
    /// What runs, as a list of one.
    pub dispatches: Vec<Dispatch>,
    _buffer: Buffer,
}

impl FixedKernel {
    fn new(gpu: &Gpu, name: &'static str, pieces: &'static [Piece], bytes: u64, groups: u32) -> Result<FixedKernel> {
        let buffer = gpu.buffer(name, bytes)?;
        let none = ParamBlocks::new(std::iter::empty()).upload(gpu)?;
        let kernel = Kernel::new(name, "fixed", pieces);
        let dispatch = gpu.dispatch(name, &kernel, &[&buffer], (&none, 0), [groups, 1, 1])?;
        Ok(FixedKernel { dispatches: vec![dispatch], _buffer: buffer })
    }

    /// The reference kernel.
    pub fn reference(gpu: &Gpu) -> Result<FixedKernel> {
        FixedKernel::new(gpu, "lab.reference", REFERENCE, u64::from(GROUPS) * 64 * 16, GROUPS)
    }

    /// The flush. Its buffer is twice as large as the last cache.
    pub fn flush(gpu: &Gpu) -> Result<FixedKernel> {
        let bytes = match gpu.caps().software {
            true => last_cache().map_or(CPU_FLUSH, |b| 2 * b),
            false => GPU_FLUSH,
        };
        FixedKernel::new(gpu, "lab.flush", FLUSH, bytes.min(gpu.caps().binding_bytes / 16 * 16), 8192)
    }
}

/// The reference kernel as data, for a page in a browser.
#[cfg(feature = "study")]
pub(super) fn reference_recording(tree: &Tree) -> Result<Recording> {
    let kernel = Kernel::new("lab.reference", "fixed", REFERENCE).shader(tree)?;
    let name = kernel.name().to_string();
    Ok(Recording {
        schema: recording::SCHEMA.to_string(),
        kernels: vec![Arc::new(kernel)],
        buffers: vec![Memory {
            role: Role::Temp,
            name: "values".into(),
            bytes: u64::from(GROUPS) * 64 * 16,
            part_of: None,
        }],
        launches: vec![Call { label: name, kernel: 0, buffers: vec![0], params: Vec::new(), grid: [GROUPS, 1, 1] }],
        inputs: Vec::new(),
        scalars: Vec::new(),
        states: Vec::new(),
        outputs: Vec::new(),
    })
}

/// The row of the reference kernel.
pub(super) fn reference_row(timer: Timer, repeats: u32) -> Row {
    let invocations = u64::from(GROUPS) * 64;
    let cost = Cost { flops: invocations * 4 * 2 * CHAIN, bytes: invocations * 16 * 2 };
    let about = ["multiply-adds and memory", &format!("values [{invocations}, 4] f32")];
    let row = Row::unmeasured("lab.reference", "fixed", about, cost);
    Row { op: "reference".into(), direction: "forward".into(), timer, repeats, ..row }
}

/// Bytes of the processor's last cache, if Linux says.
fn last_cache() -> Option<u64> {
    let sizes = (0..8).filter_map(|i| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{i}/size");
        let text = files::read_text(Path::new(&path)).ok()?;
        text.trim().strip_suffix('K')?.parse::<u64>().ok().map(|k| k << 10)
    });
    sizes.max()
}
