//! Hostile files for every reader. A fault is: a panic; a process that dies or hangs; more than 1 GiB of memory or 10 s
//! for a file below 10 MB; a refusal without a sentence; an exit code that does not fit. Time is what
//! processors spend on a case, so that a busy machine makes none slow. A case whose only fault is time is tried once more
//! alone.
//!
//! CI tries the same cases every time, so that only a change of the program changes the result. A longer run tries new
//! cases. FUZZ_CASES=1000000 sets their number, which the readers share. FUZZ_SEED=7 chooses them; the seed is printed.
//! A case that went wrong is kept in a file below target/tmp/fuzz. FUZZ_READER=npz FUZZ_FILE=PATH reads that file
//! alone.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod bombs;
#[path = "../common/mod.rs"]
mod common;
mod dicom;
mod hostile;
mod left;
mod mutate;
mod readers;
mod seeds;
mod texts;
mod watcher;
mod words;
mod worker;

use libtest_mimic::{Arguments, Trial};
use readers::{Desk, Reader};
use std::time::{SystemTime, UNIX_EPOCH};
use watcher::{ORDER, Order, Tally};

/// The seed of CI's cases.
const RUN: u64 = 11;

/// The seconds that CI's cases may take, with two processes at once.
const SECONDS: f64 = 20.0;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

fn number(name: &str) -> Option<u64> {
    variable(name).map(|v| v.parse().unwrap_or_else(|_| panic!("{name} is {v}; give a whole number")))
}

fn find(name: &str) -> Reader {
    let all: Vec<Reader> = readers::all().into_iter().chain(readers::sluggish()).collect();
    let names: Vec<&str> = all.iter().map(|r| r.name).collect();
    let unknown = format!("there is no reader {name}; the readers are: {}", names.join(", "));
    all.into_iter().find(|r| r.name == name).unwrap_or_else(|| panic!("{unknown}"))
}

fn main() {
    #[cfg(unix)]
    if let Some(words) = variable(hostile::MEASURE) {
        return hostile::measure(&words);
    }
    if let Some(order) = variable(ORDER) {
        let order: Order = serde_json::from_str(&order).unwrap();
        return worker::work(&find(&order.reader), &order);
    }
    if let (Some(reader), Some(file)) = (variable("FUZZ_READER"), variable("FUZZ_FILE")) {
        let said = (find(&reader).read)(&Desk::new(), &std::fs::read(file).unwrap());
        return println!("{said:?}");
    }
    let arguments = Arguments::from_args();
    let all = readers::all();
    let (total, share) = (number("FUZZ_CASES"), all.iter().map(|r| r.cases).sum::<u64>());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64 % 1_000_000_000);
    let run = number("FUZZ_SEED").unwrap_or(if total.is_some() { now } else { RUN });
    let seconds = total.is_none().then_some(2.0 * SECONDS / all.len() as f64);
    let trial = |reader: Reader| {
        let cases = total.map_or(reader.cases, |t| (t * reader.cases).div_ceil(share));
        Trial::test(format!("fuzz {}", reader.name), move || {
            if reader.device && !common::adapter(reader.name) {
                return Ok(());
            }
            let tally = watcher::watch(&reader, run, cases, seconds, worker::PATIENCE)?;
            println!("{}", figures(reader.name, run, &tally));
            Ok(())
        })
    };
    let mut trials: Vec<Trial> = all.into_iter().map(trial).collect();
    trials.push(Trial::test("a case that took too long is tried again alone", || {
        let [once, always, idle] = readers::sluggish().map(|r| watcher::watch(&r, RUN, 1, None, readers::SLOW.1));
        assert_eq!((once?.cases, idle?.cases), (1, 1));
        let why = always.err().unwrap();
        assert!(why.contains(" s, and tried again alone: ") && why.contains("case 0 of run"), "{why}");
        Ok(())
    }));
    #[cfg(unix)] // only there is the memory of a process known after its end
    trials.extend(hostile::rows().into_iter().chain(dicom::rows()).map(|row| {
        Trial::test(format!("hostile {}", row.name), move || {
            println!("{}", row.check()?);
            Ok(())
        })
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn figures(reader: &str, run: u64, t: &Tally) -> String {
    format!(
        "fuzz {reader}: {} cases of run {run} in {:.1} s, {} read, {} refused; at most {:.1} MiB and {:.0} ms",
        t.cases,
        t.seconds,
        t.read,
        t.cases - t.read,
        t.peak as f64 / (1 << 20) as f64,
        1e3 * t.slowest
    )
}
