//! What the files of a study's folders are called, and what a person can do where one is damaged.

/// The files of a folder.
pub(super) const DONE: &str = "done";
pub(super) const CONFIG: &str = "config.toml";
pub(super) const ENVIRONMENT: &str = "environment.json";
pub(super) const STATE: &str = "state.safetensors";
pub(super) const BACKBONE: &str = "backbone.safetensors";
pub(super) const RESULT: &str = "result.json";
pub(super) const EPOCHS: &str = "epochs.jsonl";
pub(super) const STEPS: &str = "steps.jsonl";
/// What TensorBoard reads; made of the two above, and nothing reads it again.
pub(super) const EVENTS: &str = "events.out.tfevents.wgslab";
pub(super) const PROJECTION: &str = "projection.json";
pub(super) const LABELS: &str = "labels.csv";
pub(super) const PREDICTIONS: &str = "predictions.npz";
/// Held by the process that works in a folder; made before anything else of it, and kept.
pub(super) const LOCK: &str = "lock";

/// The way out of damage in a folder of a study.
pub(super) const REDO: &str =
    "`wgslab study run` with --redo-damaged makes its folder again; or delete the folder and run the same command";

/// The way out where something stands in the place of a folder of a study, or closes it.
pub(super) const AWAY: &str = "give yourself the rights to it or move it away, and run the same command";

/// Where a folder keeps the table of variants that its runs use.
pub const KERNELS: &str = "kernels.json";
