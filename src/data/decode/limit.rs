//! Limits the number of pixels that are decoded: in one picture, and at the same time in all threads.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, PoisonError};

/// The default for the most pixels of one picture. Mammograms of 40 million fit. Decoding takes up to 16 bytes for each
/// pixel, so this keeps a process below a gigabyte.
pub const MAX_PIXELS: u64 = 50_000_000;

/// The pixels that all threads decode now: at most [`MAX_PIXELS`], or one picture that a raised limit allows.
#[derive(Default)]
pub struct Gate {
    inside: Mutex<u64>,
    left: Condvar,
}

/// The limit for one file. Its pixels count as decoded until this is dropped.
pub struct Limit<'a> {
    most: u64,
    gate: &'a Gate,
    held: Cell<u64>,
}

impl<'a> Limit<'a> {
    /// The limit for a file that may have `most` pixels.
    pub fn new(most: u64, gate: &'a Gate) -> Self {
        Limit { most, gate, held: Cell::new(0) }
    }

    /// Refuses a header with too many pixels. Waits until the pixels fit beside those that other threads decode.
    pub fn check(&self, width: u64, height: u64) -> Result<(), String> {
        let pixels = width.saturating_mul(height);
        if pixels > self.most {
            return Err(format!(
                "it has {width}×{height} = {pixels} pixels, over the limit of {}; data.max_pixels (--max-pixels) raises it",
                self.most
            ));
        }
        // A later, smaller frame of the same file needs no more memory, so the file counts with its largest frame.
        if pixels <= self.held.get() {
            return Ok(());
        }
        self.leave();
        let inside = self.gate.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |inside: &mut u64| *inside > 0 && *inside + pixels > MAX_PIXELS;
        *self.gate.left.wait_while(inside, full).unwrap_or_else(PoisonError::into_inner) += pixels;
        self.held.set(pixels);
        Ok(())
    }

    fn leave(&self) {
        let held = self.held.replace(0);
        if held > 0 {
            *self.gate.inside.lock().unwrap_or_else(PoisonError::into_inner) -= held;
            self.gate.left.notify_all();
        }
    }
}

impl Drop for Limit<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn threads_together_hold_no_more_than_the_limit_and_a_large_picture_goes_alone() {
        let (gate, inside, most) = (Gate::default(), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for i in 0..24u64 {
                let (gate, inside, most) = (&gate, &inside, &most);
                scope.spawn(move || {
                    let limit = Limit::new(u64::MAX, gate);
                    let pixels = if i % 8 == 0 { 2 * MAX_PIXELS } else { MAX_PIXELS / 3 };
                    limit.check(pixels, 1).unwrap();
                    let now = inside.fetch_add(pixels, Ordering::SeqCst) + pixels;
                    assert!(now <= MAX_PIXELS || now == pixels, "{now}");
                    most.fetch_max(now, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    inside.fetch_sub(pixels, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 2 * MAX_PIXELS);
        assert_eq!(*gate.inside.lock().unwrap(), 0);
    }

    #[test]
    fn a_header_past_the_limit_is_refused_with_the_key_that_raises_it() {
        let gate = Gate::default();
        let said = Limit::new(100, &gate).check(11, 10).unwrap_err();
        assert!(said.contains("11×10 = 110 pixels") && said.contains("limit of 100"), "{said}");
        assert!(said.contains("data.max_pixels"), "{said}");
        assert!(Limit::new(u64::MAX - 1, &gate).check(u64::MAX, u64::MAX).is_err());
        Limit::new(100, &gate).check(10, 10).unwrap();
    }

    #[test]
    fn the_larger_of_a_file_s_frames_counts_until_it_is_read() {
        let gate = Gate::default();
        let inside = || *gate.inside.lock().unwrap();
        let limit = Limit::new(100, &gate);
        for (side, held) in [(5, 25), (10, 100), (5, 100)] {
            limit.check(side, side).unwrap();
            assert_eq!(inside(), held);
        }
        drop(limit);
        assert_eq!(inside(), 0);
    }
}
