//! Memory over a step: when each piece of memory is in use, and which pieces share a buffer.

use super::schedule::Place;

/// A piece of memory with its lifetime in steps, both ends included.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Its size in bytes.
    pub bytes: u64,
    /// The step that first writes it.
    pub birth: usize,
    /// The last step that reads or writes it. It is the number of steps, or `usize::MAX`, if the value must outlive the
    /// step.
    pub death: usize,
    /// The input or state that it is; `None` if it lies in a slab.
    pub fixed: Option<Place>,
    /// Which slab it lies in, if it is not fixed.
    pub slab: usize,
    /// The storage that it is a part of, if it is one, and its first byte there. See [`super::arena`].
    pub within: Option<(usize, u64)>,
}

/// Assigns slabs to all storage that is neither fixed nor a part. Large pieces come first, and each takes the smallest
/// slab that is free during its whole life. Returns the size of each slab in bytes. Without `reuse` each piece gets a
/// slab of its own.
pub(super) fn assign_slabs(storage: &mut [Storage], reuse: bool) -> Vec<u64> {
    let mut order: Vec<usize> =
        (0..storage.len()).filter(|&s| storage[s].fixed.is_none() && storage[s].within.is_none()).collect();
    order.sort_by_key(|&s| (std::cmp::Reverse(storage[s].bytes), storage[s].birth, s));
    let mut slabs: Vec<(u64, Vec<usize>)> = Vec::new();
    for s in order {
        let (bytes, birth, death) = (storage[s].bytes, storage[s].birth, storage[s].death);
        let free = |members: &[usize]| members.iter().all(|&m| storage[m].death < birth || death < storage[m].birth);
        let found = reuse.then(|| slabs.iter().rposition(|slab| free(&slab.1))).flatten();
        let at = found.unwrap_or_else(|| {
            slabs.push((bytes, Vec::new()));
            slabs.len() - 1
        });
        slabs[at].1.push(s);
        storage[s].slab = at;
    }
    slabs.into_iter().map(|s| s.0).collect()
}
