//! Runs foreign code on hostile input. If a decoder or a compiler panics on a file, that only means that it cannot read
//! the file. A panic of this crate's own code stays a bug of the program.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call into another crate and turns a panic into its message. Everything that the call makes is dropped after a
/// panic, so the call must change nothing outside.
pub fn contained<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    let before = INSIDE.replace(true);
    let ended = catch_unwind(AssertUnwindSafe(what));
    INSIDE.set(before);
    ended.map_err(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given").to_string()
    })
}

/// Whether this thread is inside such a call. The caller then reports the panic.
pub fn is_contained() -> bool {
    INSIDE.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_words_and_nothing_else_does() {
        assert_eq!(contained(|| 3), Ok(3));
        let list: Vec<u8> = Vec::new();
        let why = contained(|| list[1]).unwrap_err();
        assert!(why.contains("index out of bounds"), "{why}");
        assert!(contained(is_contained).unwrap() && !is_contained());
        assert_eq!(contained(|| contained(|| list[1]).is_err() && is_contained()), Ok(true));
    }
}
