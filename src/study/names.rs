//! The names of the files in a study's folders, and what a person can do if one is damaged.

/// The files of a folder.
pub(super) const DONE: &str = "done";
pub(super) const CONFIG: &str = "config.toml";
pub(super) const ENVIRONMENT: &str = "environment.json";
pub(super) const STATE: &str = "state.safetensors";
pub(super) const BACKBONE: &str = "backbone.safetensors";
pub(super) const RESULT: &str = "result.json";
pub(super) const EPOCHS: &str = "epochs.jsonl";
pub(super) const STEPS: &str = "steps.jsonl";
/// The file for TensorBoard. It is made from the two files above, and this program does not read it.
pub(super) const EVENTS: &str = "events.out.tfevents.wgslab";
pub(super) const PROJECTION: &str = "projection.json";
pub(super) const LABELS: &str = "labels.csv";
pub(super) const PREDICTIONS: &str = "predictions.npz";
/// Why a cell or a pretraining could not be finished. One that is finished has none.
pub(super) const FAILED: &str = "failed.json";
/// Who works in a folder, for file systems that grant a lock twice. It is removed when the work ends.
pub(super) const OWNER: &str = "owner.json";
/// Where the time of each process that ran cells went, a line each. This program does not read it.
pub(super) const TIMES: &str = "times.jsonl";
/// The lock of the process that works in a folder. It is made before all other files, and stays.
pub(super) const LOCK: &str = "lock";

/// The way out if something in a study's folder is damaged.
pub(super) const REDO: &str =
    "`wgslab study run` with --redo-damaged makes its folder again; or delete the folder and run the same command";

/// The way out if something else is in the place of a study's folder, or the folder cannot be opened.
pub(super) const AWAY: &str = "give yourself the rights to it or move it away, and run the same command";

/// The file in a folder with the table of kernel variants that its runs use.
pub const KERNELS: &str = "kernels.json";
