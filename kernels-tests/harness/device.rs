//! The two devices of a thread that runs trials: with naga's runtime checks and without. Each opens at its first use.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use wgslab::device::adapter::adapters;
use wgslab::device::{Caps, Gpu, GpuOptions};

thread_local! {
    /// A trial that breaks its device, or counts what it makes, must not meet a trial of another thread there.
    static GPUS: RefCell<[Option<Arc<Gpu>>; 2]> = const { RefCell::new([None, None]) };
}

/// This thread's device with or without runtime checks. If an earlier trial broke it, it is opened again, so that one
/// failed trial does not fail the next.
pub fn gpu(checked: bool) -> Result<Arc<Gpu>, String> {
    let open = GPUS.with_borrow(|gpus| gpus[checked as usize].clone());
    if let Some(gpu) = open.filter(|g| g.check().is_ok()) {
        return Ok(gpu);
    }
    let options = GpuOptions { checked, ..GpuOptions::default() };
    let gpu = Arc::new(Gpu::open(&options).map_err(|e| e.to_string())?);
    GPUS.with_borrow_mut(|gpus| gpus[checked as usize] = Some(gpu.clone()));
    Ok(gpu)
}

fn first() -> &'static Result<Caps, String> {
    static FIRST: OnceLock<Result<Caps, String>> = OnceLock::new();
    FIRST.get_or_init(|| match adapters(None) {
        Ok(list) => list.first().map(|a| a.caps.clone()).ok_or_else(|| "the list of adapters is empty".to_string()),
        Err(e) => Err(e.to_string()),
    })
}

/// Whether there is an adapter at all.
pub fn available() -> Result<(), String> {
    first().as_ref().map(drop).map_err(String::clone)
}

/// What the adapter can do. Without an adapter, what every adapter can.
pub fn caps() -> Caps {
    first().as_ref().map_or_else(|_| Caps::portable(), Caps::clone)
}
