//! What `wgslab export` writes, in a headless browser with the network denied. The tests use the built program alone.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod bench;
mod chromium;
#[path = "../common/mod.rs"]
mod common;
mod replay;
mod step;
