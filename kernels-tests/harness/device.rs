//! The two devices of a thread that runs trials: with naga's runtime checks and without. Each opens at its first use.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use wgslab::device::adapter::adapters;
use wgslab::device::{Caps, Gpu, GpuOptions};

/// The devices of a thread: without runtime checks, and with them.
struct Own([Option<Arc<Gpu>>; 2]);

thread_local! {
    /// A trial that breaks its device, or counts what it makes, must not meet a trial of another thread there.
    static GPUS: RefCell<Own> = const { RefCell::new(Own([None, None])) };
}

/// How many threads hold devices.
static HOLDERS: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Own {
    fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    fn close(&mut self) {
        if !self.is_empty() {
            self.0 = [None, None];
            *HOLDERS.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
            HOLDERS.1.notify_all();
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.close();
    }
}

/// Waits until no thread holds a device. A thread closes its own as it ends, which may be after its last trial was told;
/// a process that exits meanwhile pulls the driver away from under it.
pub fn closed() {
    GPUS.with_borrow_mut(Own::close);
    let mut holders = HOLDERS.0.lock().unwrap_or_else(PoisonError::into_inner);
    while *holders > 0 {
        holders = HOLDERS.1.wait(holders).unwrap_or_else(PoisonError::into_inner);
    }
}

/// This thread's device with or without runtime checks. If an earlier trial broke it, it is opened again, so that one
/// failed trial does not fail the next.
pub fn gpu(checked: bool) -> Result<Arc<Gpu>, String> {
    let open = GPUS.with_borrow(|own| own.0[checked as usize].clone());
    if let Some(gpu) = open.filter(|g| g.check().is_ok()) {
        return Ok(gpu);
    }
    let options = GpuOptions { checked, ..GpuOptions::default() };
    let gpu = Arc::new(Gpu::open(&options).map_err(|e| e.to_string())?);
    GPUS.with_borrow_mut(|own| {
        if own.is_empty() {
            *HOLDERS.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        own.0[checked as usize] = Some(gpu.clone());
    });
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
