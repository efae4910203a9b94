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
    pipelines: AtomicU64,
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

    /// The number of pipelines compiled so far.
    pub fn pipelines_made(&self) -> u64 {
        self.pipelines.load(Ordering::Relaxed)
    }

    pub(super) fn pipeline_made(&self) {
        self.pipelines.fetch_add(1, Ordering::Relaxed);
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

/// A range of a buffer, as a kernel binds it. It begins at a multiple of [`PART_ALIGN`] bytes.
#[derive(Clone, Debug)]
pub struct Part {
    /// The buffer.
    pub buffer: Arc<Buffer>,
    /// Its first byte.
    pub offset: u64,
    /// Its size in bytes, a multiple of 16.
    pub bytes: u64,
}

/// A range that a kernel binds begins at a multiple of this: the default limit of WebGPU, which every adapter accepts.
pub const PART_ALIGN: u64 = 256;

/// A range of a buffer that is bound.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    pub(super) buffer: &'a Buffer,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Part {
    /// All of a buffer.
    pub fn whole(buffer: Arc<Buffer>) -> Part {
        let bytes = buffer.bytes();
        Part { buffer, offset: 0, bytes }
    }

    /// Whether both are ranges of one buffer.
    pub fn beside(&self, other: &Part) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer)
    }

    /// The range, to be bound.
    pub fn bound(&self) -> Bound<'_> {
        Bound { buffer: &self.buffer, offset: self.offset, bytes: self.bytes }
    }
}

impl<'a> Bound<'a> {
    /// All of a buffer, to be bound.
    pub fn whole(buffer: &'a Buffer) -> Bound<'a> {
        Bound { buffer, offset: 0, bytes: buffer.bytes() }
    }

    /// Whether both are ranges of one buffer.
    pub(super) fn beside(&self, other: &Bound<'_>) -> bool {
        std::ptr::eq(self.buffer, other.buffer)
    }

    /// Whether both, ranges of one buffer, have a byte in common.
    pub(super) fn overlaps(&self, other: &Bound<'_>) -> bool {
        self.offset < other.offset + other.bytes && other.offset < self.offset + self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.meter.live.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
