//! Fences are sentinels behind each value of a plan that was scheduled with `fence_bytes`: a kernel that writes outside
//! its output overwrites them. Every value is filled with NaN, and a kernel that leaves an element out leaves the NaN.

use super::plan::Plan;
use crate::base::{Error, Result};
use crate::device::Gpu;

/// What lies behind a value.
const SENTINEL: u32 = 0x5ea1_f00d;
/// A quiet NaN as f32, and two of them as f16. Every buffer of a plan holds it before a run.
pub const POISON: u32 = 0x7fc0_7fc0;

impl Plan {
    /// Fills the plan's own buffers with NaN, and the last `fence_bytes` of each with sentinels.
    pub fn poison(&self, gpu: &Gpu, fence_bytes: u64) -> Result<()> {
        for slab in self.slabs() {
            let mut words = vec![POISON; (slab.bytes() / 4) as usize];
            let fence_from = words.len() - (fence_bytes / 4) as usize;
            words[fence_from..].fill(SENTINEL);
            gpu.write(slab, 0, bytemuck::cast_slice(&words))?;
        }
        Ok(())
    }

    /// An error if a run since [`Plan::poison`] wrote behind a value.
    pub fn expect_fences(&self, gpu: &Gpu, fence_bytes: u64) -> Result<()> {
        for (i, slab) in self.slabs().iter().enumerate() {
            let bytes = gpu.read(slab, slab.bytes())?;
            let behind = slab.bytes() - fence_bytes;
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes[behind as usize..]);
            if let Some(at) = words.iter().position(|&w| w != SENTINEL) {
                return Err(Error::Failed(format!(
                    "word {at} behind a value of {behind} bytes was overwritten with {:#x} (buffer {i})",
                    words[at]
                )));
            }
        }
        Ok(())
    }
}
