//! Reads the images of steps ahead of the device, on a thread of its own.

use super::pages::Paged;
use crate::base::{Error, Result};
use std::sync::mpsc::{Receiver, sync_channel};

/// Steps whose images wait to be taken. One more is being read, so memory holds those of four steps with the one that is
/// taken.
const WAITING: usize = 2;

/// The images of steps to come, in their order.
pub struct Ahead {
    read: Receiver<Result<Vec<u8>>>,
}

impl Ahead {
    /// Begins to read the images of `steps`, each image followed by zeros up to `spaced` bytes. The thread ends with the last
    /// step, and where nobody takes them any more.
    pub fn new(pages: &Paged, spaced: usize, steps: Vec<Vec<u32>>) -> Result<Ahead> {
        let (pages, (send, read)) = (pages.clone(), sync_channel(WAITING));
        let work = move || {
            for step in steps {
                if send.send(pages.read(&step, spaced)).is_err() {
                    return;
                }
            }
        };
        let named = std::thread::Builder::new().name("pages".to_string());
        named.spawn(work).map_err(|e| Error::Failed(format!("no thread to read pages of images with: {e}")))?;
        Ok(Ahead { read })
    }

    /// The images of the next step.
    pub fn next(&self) -> Result<Vec<u8>> {
        self.read.recv().map_err(|_| Error::Failed("no images were read for a step".into()))?
    }
}
