//! Pages that a browser opens: recordings with what they need, replayed by plain JavaScript (`web/`).

pub mod bench;
