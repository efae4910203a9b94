//! The process that hands out cases and watches: who panics is told, who dies or hangs is found out, and the input that
//! did it is kept in a file.

use super::mutate::case;
use super::readers::Reader;
use super::worker::PATIENCE;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The variable that makes the test's program a worker: an [`Order`] as JSON.
pub const ORDER: &str = "WGSLAB_FUZZ_ORDER";

/// What a worker is to do.
#[derive(Clone, Serialize, Deserialize)]
pub struct Order {
    pub reader: String,
    /// The seed of the run.
    pub run: u64,
    /// Its cases.
    pub from: u64,
    pub to: u64,
    /// Fewer cases once so much time is gone.
    pub seconds: Option<f64>,
    /// Where it writes the number of the case it is at.
    pub place: PathBuf,
}

/// A case that went wrong.
#[derive(Serialize, Deserialize)]
pub struct Finding {
    pub index: u64,
    pub what: String,
}

/// What a worker counted.
#[derive(Default, Serialize, Deserialize)]
pub struct Tally {
    pub cases: u64,
    /// Cases that were read; the others were refused.
    pub read: u64,
    /// The most bytes held at once.
    pub peak: u64,
    /// The longest case, s.
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

/// No more workers are begun after so many findings: a reader that fails everywhere need not be told a thousand times.
const ENOUGH: usize = 20;

/// Tries `cases` of a reader and gives the figures, or what went wrong with where each input is kept.
pub fn watch(reader: &Reader, run: u64, cases: u64, seconds: Option<f64>) -> Result<Tally, String> {
    let dir = tempfile::tempdir().unwrap();
    let (mut total, mut findings) = (Tally::default(), Vec::new());
    let mut from = 0;
    while from < cases && findings.len() < ENOUGH {
        let place = dir.path().join("place");
        std::fs::write(&place, from.to_le_bytes()).unwrap();
        let left = seconds.map(|s| s - total.seconds);
        if left.is_some_and(|l| l <= 0.0) {
            break;
        }
        let order = Order { reader: reader.name.into(), run, from, to: cases, seconds: left, place };
        let (died, said) = Worker::start(&order, dir.path()).watched(&order.place);
        for line in said.lines() {
            match (serde_json::from_str::<Finding>(line), serde_json::from_str::<Tally>(line)) {
                (Ok(finding), _) => findings.push(finding),
                (_, Ok(tally)) => total.add(&tally),
                _ => {}
            }
        }
        let Some(what) = died else { break };
        let index = at(&order.place);
        total.cases += index + 1 - from;
        findings.push(Finding { index, what });
        from = index + 1;
    }
    if findings.is_empty() {
        return Ok(total);
    }
    let kept = |f: &Finding| match f.index {
        u64::MAX => f.what.clone(),
        i => {
            let path = keep(reader, run, i);
            format!("case {i} of run {run}: {}\n    {}", f.what, path.display())
        }
    };
    let list: Vec<String> = findings.iter().map(kept).collect();
    Err(format!("{} of {} cases went wrong:\n  {}", findings.len(), total.cases, list.join("\n  ")))
}

fn at(place: &Path) -> u64 {
    let bytes = std::fs::read(place).unwrap_or_default();
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// Writes the input of a case and says where.
fn keep(reader: &Reader, run: u64, index: u64) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(reader.name.replace([' ', '\''], "-"));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{run}-{index}"));
    std::fs::write(&path, case(&(reader.seeds)(), reader.words, run, index)).unwrap();
    path
}

/// A folder in memory where there is one: each case is a file, and a study's files are synced to their disk.
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

    /// Waits for its end: how it died, if it did, and what it said.
    fn watched(mut self, place: &Path) -> (Option<String>, String) {
        let mut out = self.child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = out.read_to_string(&mut text); // what came before the end counts
            text
        });
        let (mut last, mut since) = (None, Instant::now());
        let died = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let words = std::fs::read_to_string(&self.stderr).unwrap_or_default();
                let words = words.lines().rfind(|l| !l.contains("XDG_RUNTIME_DIR")).unwrap_or_default();
                break (!status.success()).then(|| format!("the process died ({status}): {words}"));
            }
            let now = Some(at(place));
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > PATIENCE + Duration::from_secs(5) {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break Some(format!("it did not end within {} s", PATIENCE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        (died, reader.join().unwrap_or_default())
    }
}
