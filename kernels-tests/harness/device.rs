//! The two devices that all trials share: with naga's runtime checks and without. Each opens at its first use.

use std::sync::{Arc, Mutex, OnceLock};
use wgslab::device::adapter::adapters;
use wgslab::device::{Caps, Gpu, GpuOptions};

static GPUS: [Mutex<Option<Arc<Gpu>>>; 2] = [Mutex::new(None), Mutex::new(None)];

/// The device with or without runtime checks. If an earlier trial broke it, it is opened again, so that one failed
/// trial does not fail the next.
pub fn gpu(checked: bool) -> Result<Arc<Gpu>, String> {
    let mut slot = GPUS[checked as usize].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(gpu) = slot.as_ref().filter(|g| g.check().is_ok()) {
        return Ok(gpu.clone());
    }
    let options = GpuOptions { checked, ..GpuOptions::default() };
    let gpu = Arc::new(Gpu::open(&options).map_err(|e| e.to_string())?);
    *slot = Some(gpu.clone());
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
