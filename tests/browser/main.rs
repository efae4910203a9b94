//! What `wgslab export` writes, in a headless browser with the network denied. The tests use the built program alone.

mod chromium;
mod replay;
