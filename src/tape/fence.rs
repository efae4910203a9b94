//! Fences find kernels that write wrongly. A plan that was scheduled with `fence_bytes` has sentinels behind each
//! value, also behind those that lie in one buffer, and a kernel that writes outside its output overwrites them. Every
//! value is filled with NaN, so an element that a kernel leaves out is still NaN.

use super::plan::Plan;
use super::schedule::Place;
use crate::base::{Error, Result};
use crate::device::Gpu;

/// The word that fills the fence behind a value.
const SENTINEL: u32 = 0x5ea1_f00d;
/// One quiet NaN as f32, or two as f16. [`Plan::poison`] fills every value with it.
pub const POISON: u32 = 0x7fc0_7fc0;

impl Plan {
    /// Fills the plan's own buffers with NaN, and the last `fence_bytes` of each with sentinels, and of each part that
    /// is bound by itself. `fence_bytes` must be what the plan was scheduled with; unless it is 0, values must not
    /// share buffers over time.
    pub fn poison(&self, gpu: &Gpu, fence_bytes: u64) -> Result<()> {
        for (i, slab) in self.slabs().iter().enumerate() {
            let mut words = vec![POISON; (slab.bytes() / 4) as usize];
            for end in self.ends(i) {
                words[((end - fence_bytes) / 4) as usize..(end / 4) as usize].fill(SENTINEL);
            }
            gpu.write(slab, 0, bytemuck::cast_slice(&words))?;
        }
        Ok(())
    }

    /// It is an error if a run since [`Plan::poison`] wrote behind a value.
    pub fn expect_fences(&self, gpu: &Gpu, fence_bytes: u64) -> Result<()> {
        for (i, slab) in self.slabs().iter().enumerate() {
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(&gpu.read(slab, slab.bytes())?);
            for end in self.ends(i) {
                let behind = end - fence_bytes;
                let fence = &words[(behind / 4) as usize..(end / 4) as usize];
                if let Some(at) = fence.iter().position(|&w| w != SENTINEL) {
                    return Err(Error::Failed(format!(
                        "word {at} behind a value that ends at byte {behind} was overwritten with {:#x} (buffer {i})",
                        fence[at]
                    )));
                }
            }
        }
        Ok(())
    }

    /// Where the fences of slab `i` end: behind each of its parts, and at its own end.
    fn ends(&self, i: usize) -> Vec<u64> {
        let storage = &self.schedule().storage;
        let part = |s: usize| match Place::of(storage, s) {
            Place::Part { slab, offset, bytes } if slab == i => Some(offset + bytes),
            _ => None,
        };
        (0..storage.len()).filter_map(part).chain([self.slabs()[i].bytes()]).collect()
    }
}
