//! Ctrl-C and SIGTERM. The first asks the job to save and stop; a second one stops at once.

use super::listener::Listener;
use crate::base::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a program that Ctrl-C stopped.
const STOPPED_AT_ONCE: i32 = 130;

/// Watches for signals. The returned flag is set once one came.
pub(super) fn watch(listener: Arc<Listener>) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(STOPPED_AT_ONCE);
        }
        listener.say("stopping: saving first; Ctrl-C again stops at once");
    };
    ctrlc::set_handler(handler).map_err(|e| Error::Failed(format!("cannot watch for Ctrl-C: {e}")))?;
    Ok(stop)
}
