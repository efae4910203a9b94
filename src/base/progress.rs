//! What a long job reports to the user. The command line draws it.

/// Receives reports. Stages do not nest: a stage ends when the next one begins or with [`Progress::done`].
pub trait Progress: Sync {
    /// A stage of `total` units begins. `unit` is "images", "steps", …. `done` of them were done before a resume.
    fn stage(&self, name: &str, total: u64, done: u64, unit: &'static str);
    /// `done` units of the stage are done. `note` is a short state, for example the loss.
    fn step(&self, done: u64, note: &str);
    /// The stage has ended. `line` sums it up.
    fn done(&self, line: &str);
    /// A line that stays on the screen: a warning, a file written.
    fn note(&self, line: &str);
}

/// Reports nothing.
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _name: &str, _total: u64, _done: u64, _unit: &'static str) {}
    fn step(&self, _done: u64, _note: &str) {}
    fn done(&self, _line: &str) {}
    fn note(&self, _line: &str) {}
}
