//! The studies that are damaged: a finished one and two that were stopped. They are made once, with one device.

use super::common;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use tempfile::TempDir;
use wgslab::base::Result;
use wgslab::base::progress::Progress;
use wgslab::base::rng::Rng;
use wgslab::data::Images;
use wgslab::device::tune::{Rules, Table};
use wgslab::device::{Gpu, GpuOptions};
use wgslab::kernels::tune;
use wgslab::study::{Config, Job, Manner, Outcome, Selection, Shared};

/// The user that commands run as when this process is root, because root may read everything.
pub const NOBODY: u32 = 65_534;

/// Whether this process may become another user.
pub fn is_root() -> bool {
    let own = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::MetadataExt::uid(&own.as_file().metadata().unwrap()) == 0
}

/// A study with three steps in an epoch, so that it can be stopped within one. It has two cells, one of which uses a
/// pretraining.
fn text(data: &Path) -> String {
    format!(
        "name = \"Damage\"\n[data]\nspecs = [{:?}]\nstore_size = 10\nimage_size = 8\n[model]\nwidth = 0.125\n\
         [pretraining]\nmethods = [\"simclr\", \"none\"]\nepochs = 2\nbatch_size = 8\nwarmup_epochs = 0\n\
         simclr.projection_dims = [16, 8]\n[noise]\nrates = [0.4]\n[training]\nepochs = 3\nbatch_size = 8\nwarmup_epochs = 0\n\
         [evaluation]\nbatch_size = 8\n[run]\nloss_every = 1\ncheckpoint_seconds = 3600\n",
        data.join("set").to_str().unwrap()
    )
}

pub struct Made {
    _dir: TempDir,
    /// The folder for copies. Hard links need one file system.
    pub place: PathBuf,
    pub data: PathBuf,
    pub finished: PathBuf,
    /// The study that was stopped within the second epoch of the pretraining.
    pub pretraining: PathBuf,
    /// The study that was stopped within the second epoch of the first cell's training.
    pub training: PathBuf,
    /// The files of the finished study.
    pub due: BTreeMap<String, Vec<u8>>,
    /// What commands print for the finished study.
    pub said: Mutex<BTreeMap<String, String>>,
    program: PathBuf,
    config: Config,
    gpu: Gpu,
    table: Table,
}

/// The studies, which the first caller makes.
pub fn made() -> &'static Made {
    static ONCE: OnceLock<Made> = OnceLock::new();
    ONCE.get_or_init(Made::new)
}

impl Made {
    fn new() -> Made {
        let shared = Path::new("/dev/shm");
        let in_memory = tempfile::tempdir_in(shared);
        let dir = in_memory.unwrap_or_else(|_| tempfile::tempdir().unwrap());
        let place = dir.path().to_path_buf();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&place, open).unwrap();
        // The program is copied here, because other users may have no access to the folder it was built in.
        let program = place.join("wgslab");
        std::fs::copy(env!("CARGO_BIN_EXE_wgslab"), &program).unwrap();
        let data = place.join("data");
        write_data(&data);
        std::fs::create_dir(place.join("kernels")).unwrap();
        let for_all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(place.join("kernels"), for_all).unwrap();
        std::fs::write(place.join("study.toml"), text(&data)).unwrap();
        let config = Config::load(&place.join("study.toml")).unwrap();
        let gpu = Gpu::open(&GpuOptions::default()).unwrap();
        let [finished, pretraining, training] = ["finished", "pretraining", "training"].map(|n| place.join(n));
        let (due, said, table) = Default::default();
        let mut made =
            Made { _dir: dir, place, data, finished, pretraining, training, due, said, program, config, gpu, table };
        made.table = made.tuned();
        made.run(&made.finished, &Stop::never()).unwrap();
        for (out, stage) in [(&made.pretraining, "pretrain"), (&made.training, "set__")] {
            let error = made.run(out, &Stop { stage, ..Stop::never() }).unwrap_err();
            assert_eq!(error.exit_code(), 75, "{error}");
        }
        made.due = common::files(&made.finished);
        made
    }

    /// A table in which one op of the study is tuned. The study then keeps a table beside its runs.
    fn tuned(&self) -> Table {
        let (stop, out, silent) = (AtomicBool::new(false), self.place.join("tuning"), Stop::never());
        let shared = Shared::default();
        let job = Job { kernels: Table::default(), ..self.job(&out, &silent, (&stop, &shared)) };
        let schedules = job.schedules().unwrap();
        let mut table = Table::new(&self.gpu.adapter().name, &self.gpu.adapter().driver);
        let missing = tune::missing(&self.gpu, &schedules[0], &table).unwrap();
        let subject = missing.iter().min_by_key(|s| (s.variants.len(), &s.key)).unwrap();
        let usual = tune::Tuning::usual(self.gpu.caps());
        let once = tune::Tuning { rules: Rules { rounds: 1, ..usual.rules }, ..usual };
        table.entries.insert(subject.key.clone(), tune::tune(&self.gpu, subject, &once).unwrap());
        table
    }

    fn job<'a>(&'a self, out: &'a Path, progress: &'a Stop, (stop, shared): (&'a AtomicBool, &'a Shared)) -> Job<'a> {
        let (gpu, config, data_root) = (&self.gpu, &self.config, self.place.as_path());
        Job { gpu, config, out, data_root, progress, stop, kernels: self.table.clone(), shared }
    }

    /// Runs the study in `out`, in this process.
    pub fn run(&self, out: &Path, progress: &Stop) -> Result<Outcome> {
        self.job(out, progress, (&progress.flag, &Shared::default())).run(Selection::All, Manner::default())
    }

    /// The program, as a user who is not root.
    pub fn command(&self, dir: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(dir).args(words).env_remove("RUST_BACKTRACE").env("NODEVICE_SELECT", "1");
        // Commands share their compiled kernels in this folder, because the other user has no home folder for them.
        command.env("MESA_SHADER_CACHE_DIR", self.place.join("kernels"));
        if is_root() {
            std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
            std::os::unix::process::CommandExt::gid(&mut command, NOBODY);
        }
        command
    }
}

/// Raises the flag within the second epoch of a stage whose name has this beginning.
pub struct Stop {
    pub stage: &'static str,
    inside: AtomicBool,
    flag: AtomicBool,
    /// The notes that it received.
    pub notes: Mutex<Vec<String>>,
}

impl Stop {
    pub fn never() -> Stop {
        let (inside, flag) = (AtomicBool::new(false), AtomicBool::new(false));
        Stop { stage: "no stage", inside, flag, notes: Mutex::default() }
    }
}

impl Progress for Stop {
    fn stage(&self, name: &str, _: u64, _: u64, _: &'static str) {
        self.inside.store(name.starts_with(self.stage), Ordering::SeqCst);
    }

    fn step(&self, _: u64, note: &str) {
        if note.starts_with("epoch 2") && self.inside.load(Ordering::SeqCst) {
            self.flag.store(true, Ordering::SeqCst);
        }
    }

    fn done(&self, _: &str) {}

    fn note(&self, line: &str) {
        self.notes.lock().unwrap().push(line.to_string());
    }
}

/// Writes small pictures in two classes and three splits.
fn write_data(data: &Path) {
    for (split, n) in [("train", 12), ("val", 3), ("test", 5)] {
        for (label, class) in ["a", "b"].into_iter().enumerate() {
            let folder = data.join("set").join(split).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..n {
                let mut rng = Rng::new(label as u64, n as u32, i);
                let shade = 60 * label;
                let pixels = (0..12 * 12 * 3).map(|_| (shade + rng.below(150)) as u8).collect::<Vec<u8>>().into();
                let labels = vec![0];
                let one = Images { height: 12, width: 12, channels: 3, pixels, labels, names: vec![String::new()] };
                std::fs::write(folder.join(format!("{i}.png")), wgslab::data::png(&one, 0).unwrap()).unwrap();
            }
        }
    }
}
