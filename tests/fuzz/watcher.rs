//! The process that hands out cases and watches the workers. A worker reports a panic itself. The watcher sees when a
//! worker dies or hangs, and keeps the input that did it in a file. A case that took too long is tried again alone.

use super::mutate::case;
use super::readers::Reader;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// With this variable set, the test's program is a worker. It holds an [`Order`] as JSON.
pub const ORDER: &str = "WGSLAB_FUZZ_ORDER";

/// Held for reading while cases run beside others, and for writing while a case is tried again alone.
static OTHERS: RwLock<()> = RwLock::new(());

/// Does `work`; other cases may run at the same time.
pub fn beside<T>(work: impl FnOnce() -> T) -> T {
    let _held = OTHERS.read().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// Does `work` while no other case runs.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    let _held = OTHERS.write().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// What a worker is to do.
#[derive(Clone, Serialize, Deserialize)]
pub struct Order {
    pub reader: String,
    /// The seed of the run.
    pub run: u64,
    /// The range of its cases.
    pub from: u64,
    pub to: u64,
    /// The worker starts no more cases after this many seconds.
    pub seconds: Option<f64>,
    /// The time that a case may take, in s.
    pub patience: f64,
    /// The file where the worker writes the number of its current case.
    pub place: PathBuf,
}

/// A case that went wrong.
#[derive(Serialize, Deserialize)]
pub struct Finding {
    pub index: u64,
    pub what: String,
    /// Whether time is the only thing that was wrong.
    pub slow: bool,
}

/// What a worker counted.
#[derive(Default, Serialize, Deserialize)]
pub struct Tally {
    pub cases: u64,
    /// The number of cases that were read; the others were refused.
    pub read: u64,
    /// The most memory held at once, in bytes.
    pub peak: u64,
    /// The time of the longest case, in s.
    pub slowest: f64,
    pub seconds: f64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.cases += other.cases;
        self.read += other.read;
        self.peak = self.peak.max(other.peak);
        self.slowest = self.slowest.max(other.slowest);
        self.seconds += other.seconds;
    }
}

/// The index that stands for the seeds themselves.
pub const SEED: u64 = u64::MAX;

/// No more workers start after this many findings. A reader that fails everywhere need not say so a thousand times.
const ENOUGH: usize = 20;

/// Tries `cases` of a reader. Returns the figures, or what went wrong and the file of each input.
pub fn watch(reader: &Reader, run: u64, cases: u64, seconds: Option<f64>, patience: Duration) -> Result<Tally, String> {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place");
    let (mut total, mut findings) = (Tally::default(), Vec::new());
    let mut order =
        Order { reader: reader.name.into(), run, from: 0, to: cases, seconds, patience: patience.as_secs_f64(), place };
    while order.from < cases && findings.len() < ENOUGH {
        order.seconds = seconds.map(|s| s - total.seconds);
        if order.seconds.is_some_and(|l| l <= 0.0) {
            break;
        }
        let (died, found) = beside(|| tried(&order, dir.path(), &mut total));
        findings.extend(found);
        let Some(finding) = died else { break };
        total.cases += finding.index + 1 - order.from;
        order.from = finding.index + 1;
        findings.push(finding);
    }
    let wrong: Vec<Finding> = findings.into_iter().filter_map(|f| again(f, &order, dir.path())).collect();
    if wrong.is_empty() {
        return Ok(total);
    }
    let kept = |f: &Finding| match f.index {
        SEED => f.what.clone(),
        i => {
            let path = keep(reader, run, i);
            format!("case {i} of run {run}: {}\n    {}", f.what, path.display())
        }
    };
    let list: Vec<String> = wrong.iter().map(kept).collect();
    Err(format!("{} of {} cases went wrong:\n  {}", wrong.len(), total.cases, list.join("\n  ")))
}

/// Runs one worker on its cases. Returns the case that killed it, if any, and the cases that went wrong before.
fn tried(order: &Order, dir: &Path, total: &mut Tally) -> (Option<Finding>, Vec<Finding>) {
    std::fs::write(&order.place, order.from.to_le_bytes()).unwrap();
    let (died, said) = Worker::start(order, dir).watched(order);
    let mut findings = Vec::new();
    for line in said.lines() {
        match (serde_json::from_str::<Finding>(line), serde_json::from_str::<Tally>(line)) {
            (Ok(finding), _) => findings.push(finding),
            (_, Ok(tally)) => total.add(&tally),
            _ => {}
        }
    }
    (died, findings)
}

/// The finding, if it is confirmed. A finding that is only about time is tried once more, alone; the second result
/// counts.
fn again(finding: Finding, order: &Order, dir: &Path) -> Option<Finding> {
    if !finding.slow {
        return Some(finding);
    }
    let (from, to, name) = match finding.index {
        SEED => (0, 0, "a seed".to_string()), // the first worker tries them all
        i => (i, i + 1, format!("case {i}")),
    };
    let order = Order { from, to, seconds: None, ..order.clone() };
    let (died, mut found) = alone(|| tried(&order, dir, &mut Tally::default()));
    found.extend(died);
    let Finding { index, what, .. } = finding;
    let Some(worse) = found.pop() else {
        println!("fuzz {}: {name} of run {}: {what}; tried again alone it passed", order.reader, order.run);
        return None;
    };
    println!("fuzz {}: {name} of run {}: {what}; tried again alone: {}", order.reader, order.run, worse.what);
    Some(Finding { index, what: format!("{what}, and tried again alone: {}", worse.what), slow: worse.slow })
}

fn at(place: &Path) -> u64 {
    let bytes = std::fs::read(place).unwrap_or_default();
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// Writes the input of a case to a file and returns its path.
fn keep(reader: &Reader, run: u64, index: u64) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(reader.name.replace([' ', '\''], "-"));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{run}-{index}"));
    std::fs::write(&path, case(&(reader.seeds)(), reader.words, run, index)).unwrap();
    path
}

/// A folder in memory where the system has one. Each case is a file, and a study syncs its files to their disk.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if tempfile::tempdir_in(&shared).is_ok() { shared } else { std::env::temp_dir() }
}

struct Worker {
    child: std::process::Child,
    stderr: PathBuf,
}

impl Worker {
    fn start(order: &Order, dir: &Path) -> Worker {
        let stderr = dir.join("stderr");
        let child = Command::new(std::env::current_exe().unwrap())
            .env(ORDER, serde_json::to_string(order).unwrap())
            .env_remove("RUST_BACKTRACE")
            .env("TMPDIR", memory())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Worker { child, stderr }
    }

    /// Waits until the worker ends. Returns the case that killed it, if any, and what it printed.
    fn watched(mut self, order: &Order) -> (Option<Finding>, String) {
        let patience = Duration::from_secs_f64(order.patience);
        let died = |what, slow| Some(Finding { index: at(&order.place), what, slow });
        let mut out = self.child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = out.read_to_string(&mut text); // a partial text counts, too
            text
        });
        let (mut last, mut since) = (None, Instant::now());
        let ended = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let words = std::fs::read_to_string(&self.stderr).unwrap_or_default();
                let words = words.lines().rfind(|l| !l.contains("XDG_RUNTIME_DIR")).unwrap_or_default();
                let what = format!("the process died ({status}): {words}");
                break if status.success() { None } else { died(what, false) };
            }
            let now = Some(at(&order.place));
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > patience + Duration::from_secs(5) {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break died(format!("it did not end within {} s", order.patience), true);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        (ended, reader.join().unwrap_or_default())
    }
}
