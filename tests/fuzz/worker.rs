//! The process that tries cases. It catches and reports panics. The watcher sees what ends or stops the process itself:
//! a stack overflow, an allocation past the bound, an endless loop.

use super::mutate::case;
use super::readers::{Desk, Reader};
use super::watcher::{Finding, Order, SEED, Tally};
use cap::Cap;
use std::fs::File;
use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The memory that a reader may take beyond what was held before, in bytes.
pub const BYTES: usize = 1 << 30;

/// The time that a reader may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[global_allocator]
static MEMORY: Cap<std::alloc::System> = Cap::new(std::alloc::System, usize::MAX);

/// The place of the last panic, as text.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Tries the cases of an order. Prints on stdout one line of JSON for each finding, and the tally last.
pub fn work(reader: &Reader, order: &Order) {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload().downcast_ref::<&str>().copied();
        let what = text.or(info.payload().downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given");
        let place = info.location().map_or(String::new(), |l| format!(" at {}:{}", l.file(), l.line()));
        *PANIC.lock().unwrap() = format!("panic: {what}{place}");
    }));
    let (desk, seeds) = (Desk::new(), (reader.seeds)());
    let patience = Duration::from_secs_f64(order.patience);
    let attempt = |bytes: &[u8], tally: &mut Tally| attempt(reader, &desk, bytes, tally, patience);
    let mut tally = Tally::default();
    if order.from == 0 {
        for seed in &seeds {
            // A seed that is refused is of little use, so this is a finding.
            let mut tally = Tally::default();
            let why = attempt(&seed.file(), &mut tally);
            let refused = || (tally.read == 0).then(|| refusal(reader, &desk, &seed.file())).flatten();
            if let Some((why, slow)) = why.or_else(|| refused().map(|why| (why, false))) {
                say(&Finding { index: SEED, what: format!("a seed: {why}"), slow });
            }
        }
    }
    let base = MEMORY.allocated();
    let mut place = File::create(&order.place).unwrap();
    let started = Instant::now();
    for index in order.from..order.to {
        if order.seconds.is_some_and(|s| started.elapsed().as_secs_f64() > s) {
            break;
        }
        // The watcher reads this when the process has died.
        place.rewind().and_then(|()| place.write_all(&index.to_le_bytes())).unwrap();
        let bytes = case(&seeds, reader.words, order.run, index);
        // An allocation past the bound ends the process, so that no test fills the machine's memory.
        MEMORY.set_limit(MEMORY.allocated() + BYTES).unwrap();
        let why = attempt(&bytes, &mut tally);
        MEMORY.set_limit(usize::MAX).unwrap();
        tally.cases += 1;
        if let Some((what, slow)) = why {
            say(&Finding { index, what, slow });
        }
    }
    tally.peak = (MEMORY.max_allocated() - base) as u64;
    tally.seconds = started.elapsed().as_secs_f64();
    println!("{}", serde_json::to_string(&tally).unwrap());
}

fn say(finding: &Finding) {
    println!("{}", serde_json::to_string(finding).unwrap());
}

/// What a refusal says for seeds that are not to be read: kinds of TIFF that the program knows but does not support.
const UNREAD: [&str; 2] = ["floating-point sample", "a palette is not read"];

/// Why a reader refuses what it should read, if it does.
fn refusal(reader: &Reader, desk: &Desk, bytes: &[u8]) -> Option<String> {
    let why =
        (reader.read)(desk, bytes).map_or_else(|e| e.to_string(), |()| "it is refused only the first time".to_string());
    (!UNREAD.iter().any(|known| why.contains(known))).then(|| format!("it is refused: {why}"))
}

/// The time that a case took: on a machine that is busy with other work, only what the processors spent on it. Several
/// threads may spend more than has passed. A case that waits for ever is ended by the watcher.
fn time_of(passed: Duration, before: Option<Duration>, after: Option<Duration>) -> Duration {
    after.zip(before).map_or(passed, |(after, before)| passed.min(after.saturating_sub(before)))
}

/// The time that processors spent on this process so far, where the system tells it.
#[cfg(unix)]
pub fn processor_time() -> Option<Duration> {
    nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok().map(|usage| spent(&usage))
}

/// The time that processors spent, by a process's own account.
#[cfg(unix)]
pub fn spent(usage: &nix::sys::resource::Usage) -> Duration {
    let time = usage.user_time() + usage.system_time();
    Duration::from_micros(time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64)
}

#[cfg(not(unix))]
pub fn processor_time() -> Option<Duration> {
    None
}

/// What is wrong with how the reader treated these bytes, and whether it is time alone. None where it read or refused
/// them as it should.
pub fn attempt(
    reader: &Reader,
    desk: &Desk,
    bytes: &[u8],
    tally: &mut Tally,
    patience: Duration,
) -> Option<(String, bool)> {
    let (started, used) = (Instant::now(), processor_time());
    let ended = catch_unwind(AssertUnwindSafe(|| (reader.read)(desk, bytes)));
    let took = time_of(started.elapsed(), used, processor_time());
    tally.slowest = tally.slowest.max(took.as_secs_f64());
    let wrong = match ended {
        Err(_) => Some(PANIC.lock().unwrap().clone()),
        Ok(Ok(())) => {
            tally.read += 1;
            None
        }
        Ok(Err(e)) => {
            let text = e.to_string();
            let code = e.exit_code();
            (!reader.codes.contains(&code) || text.trim().is_empty()).then(|| format!("exit code {code}: {text}"))
        }
    };
    let slow = took > patience;
    match wrong {
        Some(what) => Some((what, false)),
        None => slow.then(|| (format!("took {:.1} s", took.as_secs_f64()), true)),
    }
}
