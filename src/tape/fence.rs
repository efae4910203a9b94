//! Fences find kernels that write wrongly. A plan that was scheduled with `fence_bytes` has sentinels behind each
//! value, and a kernel that writes outside its output overwrites them. Every value is filled with NaN, so an element
//! that a kernel leaves out is still NaN.

use super::plan::Plan;
use crate::base::{Error, Result};
use crate::device::Gpu;

/// The word that fills the fence behind a value.
const SENTINEL: u32 = 0x5ea1_f00d;
/// One quiet NaN as f32, or two as f16. [`Plan::poison`] fills every value with it.
pub const POISON: u32 = 0x7fc0_7fc0;

impl Plan {
    /// Fills the plan's own buffers with NaN, and the last `fence_bytes` of each with sentinels. `fence_bytes` must be
    /// what the plan was scheduled with.
    pub fn poison(&self, gpu: &Gpu, fence_bytes: u64) -> Result<()> {
        for slab in self.slabs() {
            let mut words = vec![POISON; (slab.bytes() / 4) as usize];
            let fence_from = words.len() - (fence_bytes / 4) as usize;
            words[fence_from..].fill(SENTINEL);
            gpu.write(slab, 0, bytemuck::cast_slice(&words))?;
        }
        Ok(())
    }

    /// It is an error if a run since [`Plan::poison`] wrote behind a value.
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
