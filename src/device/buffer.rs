//! Buffers on the device, and counts of them: bytes in use now, bytes in use at the peak, buffers made so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what is allocated on a device.
#[derive(Default, Debug)]
pub struct Meter {
    live: AtomicU64,
    peak: AtomicU64,
    made: AtomicU64,
    groups: AtomicU64,
}

impl Meter {
    /// The bytes in use now.
    pub fn live_bytes(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// The most bytes that were in use at once, since [`Meter::restart_peak`] if that was called.
    pub fn peak_bytes(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// From now on the peak counts what is in use from now on.
    pub fn restart_peak(&self) {
        self.peak.store(self.live_bytes(), Ordering::Relaxed);
    }

    /// The number of buffers made so far.
    pub fn buffers_made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// The number of bind groups made so far.
    pub fn bind_groups_made(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }

    pub(super) fn bind_group_made(&self) {
        self.groups.fetch_add(1, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) {
        let live = self.live.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(live, Ordering::Relaxed);
        self.made.fetch_add(1, Ordering::Relaxed);
    }
}

/// A buffer of the device, freed when dropped.
#[derive(Debug)]
pub struct Buffer {
    pub(super) raw: wgpu::Buffer,
    bytes: u64,
    meter: Arc<Meter>,
}

impl Buffer {
    pub(super) fn new(raw: wgpu::Buffer, meter: Arc<Meter>) -> Self {
        let bytes = raw.size();
        meter.add(bytes);
        Buffer { raw, bytes, meter }
    }

    /// The size of the buffer in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.meter.live.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
