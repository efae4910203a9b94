//! What a checkpoint of a stage holds, and the memory that writing it takes.

use crate::nn::micro::is_scratch;
use crate::tape::demand::padded;
use crate::tape::{Schedule, State};

/// Whether a state is in no checkpoint. These are rings, whose rows are read before every save, so that a checkpoint
/// does not depend on their length, and what micro-batches keep during a step.
pub(super) fn is_passing(state: &str) -> bool {
    state == "metrics" || state.starts_with("metrics.") || is_scratch(state)
}

/// Bytes of the buffer through which a checkpoint of a stage that runs plans of these schedules reads its tensors, one at a
/// time. The largest decides. Images are not in a checkpoint.
pub(super) fn read_back_bytes(schedules: &[Schedule], state: &State) -> u64 {
    let is_saved = |name: &str| !is_passing(name) && (state.ty(name).is_none() || state.names().any(|n| n == name));
    let saved = schedules.iter().flat_map(|s| &s.states).filter(|(name, _)| is_saved(name));
    saved.map(|(_, ty)| padded(ty.bytes())).max().unwrap_or(0)
}
