//! Progress on stderr: a bar with rate and time left on a terminal, plain lines elsewhere, and only warnings when
//! quiet.

use super::output;
use crate::base::Error;
use crate::base::Progress;
use crate::base::text::visible;
use crate::device::pipeline::Waiting;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::{HashSet, VecDeque};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Off a terminal, the first line of a stage comes when it has taken this long, and each further one after twice the time,
/// up to [`LINE_SLOWEST`]: what is quick has no line but that of its end, and a day's log can be read.
const LINE_FIRST: Duration = Duration::from_secs(5);
const LINE_SLOWEST: Duration = Duration::from_secs(300);

/// The most notes that are remembered, so that none is said twice.
const NOTES: usize = 10_000;

/// A compile of this many seconds is named, and again each time it has taken twice as long.
const LONG_S: u64 = 5;

/// The most characters of the name and of the state beside a bar: a bar is one line.
const SHORT: usize = 120;

/// The rate is over this time: long enough to be steady, short enough to forget a slow first step.
const WINDOW: Duration = Duration::from_secs(20);

/// How to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Bar,
    Lines,
    Quiet,
}

/// Shows a job's progress.
pub(super) struct Listener {
    mode: Mode,
    stage: Mutex<Option<ShownStage>>,
    /// What was noted: the same is true of many cells of a study, and is said once.
    noted: Mutex<HashSet<String>>,
}

/// The stage that runs.
struct ShownStage {
    bar: Option<ProgressBar>,
    name: String,
    unit: &'static str,
    total: Option<u64>,
    /// When the last line was printed or the stage began, and how long after that the next one comes.
    printed: (Instant, Duration),
    meter: Meter,
}

/// What was done when.
struct Meter {
    /// When the stage began, and what was done before.
    start: (Instant, u64),
    /// When its first units were done: until then, kernels are compiled.
    first: Option<(Instant, u64)>,
    /// Over the last moments.
    recent: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Of a stage that begins `now` with `done` units.
    fn new(now: Instant, done: u64) -> Self {
        Meter { start: (now, done), first: None, recent: [(now, done)].into() }
    }

    /// Takes in that `done` units were done at `now`.
    fn record(&mut self, now: Instant, done: u64) {
        if done > self.start.1 {
            self.first.get_or_insert((now, done));
        }
        while self.recent.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.recent.pop_front();
        }
        self.recent.push_back((now, done));
    }

    /// Units a second over the last moments; over the whole stage where these are one step, after a pause or because steps
    /// are slow; none before anything was done.
    fn rate(&self) -> Option<f64> {
        let (first, last) = (*self.recent.front()?, *self.recent.back()?);
        per_second(first, last).or(self.mean_rate())
    }

    /// Units a second over the whole stage, with what comes between steps: the look at the features after an epoch, a
    /// checkpoint. What is left takes its share of these, too.
    fn mean_rate(&self) -> Option<f64> {
        let last = *self.recent.back()?;
        self.first.and_then(|first| per_second(first, last)).or(per_second(self.start, last))
    }
}

/// Units a second between two moments; none if nothing was done or no time passed.
fn per_second(first: (Instant, u64), last: (Instant, u64)) -> Option<f64> {
    let seconds = last.0.duration_since(first.0).as_secs_f64();
    (last.1 > first.1 && seconds > 0.0).then(|| (last.1 - first.1) as f64 / seconds)
}

/// "12.3 images/s, 1:05 left, loss 0.61", as far as it is known: the rate, the units left and the rate that they will have.
fn state(rate: Option<f64>, left: Option<(u64, f64)>, unit: &str, note: &str) -> String {
    let mut parts = Vec::new();
    if let Some(rate) = rate {
        let digits = usize::from(rate < 100.0);
        parts.push(format!("{rate:.digits$} {unit}/s"));
        // A stage that goes on after its total, such as a bench that takes more turns until its time limit, has no
        // known end.
        let left = left.filter(|(left, _)| *left > 0);
        parts.extend(left.map(|(left, rate)| format!("{} left", clock(left as f64 / rate))));
    }
    if !note.is_empty() {
        parts.push(note.to_string());
    }
    parts.join(", ")
}

/// Seconds as 0:07, 12:34 or 1:02:03.
pub(super) fn clock(seconds: f64) -> String {
    let s = seconds.ceil() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

impl Listener {
    /// Looks at stderr for how to show it.
    pub fn new(quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let mode = match (quiet, std::io::stderr().is_terminal() && !dumb) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Bar,
            (false, false) => Mode::Lines,
        };
        Listener { mode, stage: Mutex::new(None), noted: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<ShownStage>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line in every mode, above the bar if there is one.
    pub fn say(&self, line: &str) {
        match self.lock().as_ref().and_then(|s| s.bar.as_ref()) {
            Some(bar) => bar.suspend(|| output::complain(line)),
            None => output::complain(line),
        }
    }

    /// Whether this was not noted before.
    fn is_new(&self, line: &str) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.len() >= NOTES || noted.insert(line.to_string())
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = self.lock().take().and_then(|s| s.bar) {
            bar.finish_and_clear();
        }
    }
}

/// The callback while the driver compiles a kernel. It names the kernel if that takes long, and ends the wait if `stop`
/// is set. A compile has nothing to save, so nothing is lost.
pub(super) fn waiting(listener: Arc<Listener>, stop: Option<Arc<AtomicBool>>) -> Waiting {
    // When it began, and after how many seconds to report next.
    let since = Mutex::new((Instant::now(), LONG_S));
    Arc::new(move |now| {
        let kernel = now.kernel;
        if stop.as_ref().is_some_and(|s| s.load(Ordering::SeqCst)) {
            return Err(Error::TryAgain(format!(
                "stopped while the driver compiled {kernel}; the same command goes on"
            )));
        }
        let mut since = since.lock().unwrap_or_else(PoisonError::into_inner);
        if now.asked == 0 {
            *since = (Instant::now(), LONG_S);
        }
        let seconds = since.0.elapsed().as_secs();
        if seconds >= since.1 {
            let left = match now.left {
                0 => "it is the last one of this step".to_string(),
                1 => "one more of this step is left after it".to_string(),
                n => format!("{n} more of this step are left after it"),
            };
            listener.note(&format!("the driver has been compiling {kernel} for {seconds} s; {left}"));
            since.1 = 2 * seconds;
        }
        Ok(())
    })
}

/// No colours: the bar looks the same with NO_COLOR. Without a total there is only a count. What stands behind the count is cut
/// at the width of the terminal, since a bar that takes two lines leaves some behind at each step: [`message`].
fn bar(name: &str, total: Option<u64>, done: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let shape = if total.is_some() { "[{bar:20}] {pos}/{len} {wide_msg}" } else { "{pos} {wide_msg}" };
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(message(name, ""));
    bar.set_position(done);
    bar
}

/// What stands beside a bar: the state, which changes, and then the name of the stage, which may be long.
fn message(name: &str, state: &str) -> String {
    let gap = if state.is_empty() { "" } else { " · " };
    format!("{}{gap}{}", visible(state, SHORT), visible(name, SHORT))
}

impl Progress for Listener {
    fn stage(&self, name: &str, total: u64, done: u64, unit: &'static str) {
        self.clear();
        let now = Instant::now();
        let total = (total > 0).then_some(total);
        if self.mode == Mode::Lines {
            if let (Some(total), 1..) = (total, done) {
                output::complain(&format!("{name}: goes on at {done} of {total} {unit}"));
            }
        }
        let bar = (self.mode == Mode::Bar).then(|| bar(name, total, done));
        let meter = Meter::new(now, done);
        *self.lock() = Some(ShownStage { bar, name: name.to_string(), unit, total, printed: (now, LINE_FIRST), meter });
    }

    fn step(&self, done: u64, note: &str) {
        let mut guard = self.lock();
        let Some(stage) = guard.as_mut() else { return };
        let now = Instant::now();
        stage.meter.record(now, done);
        let left = stage.total.map(|total| total.saturating_sub(done)).zip(stage.meter.mean_rate());
        let state = || state(stage.meter.rate(), left, stage.unit, note);
        if let Some(bar) = &stage.bar {
            bar.set_message(message(&stage.name, &state()));
            bar.set_position(done);
        } else if self.mode == Mode::Lines && now.duration_since(stage.printed.0) >= stage.printed.1 {
            let of = stage.total.map(|total| format!("/{total}")).unwrap_or_default();
            let line = format!("{}: {done}{of} {}, {}", stage.name, stage.unit, state());
            output::complain(line.trim_end_matches([',', ' ']));
            stage.printed = (now, (2 * stage.printed.1).min(LINE_SLOWEST));
        }
    }

    fn done(&self, line: &str) {
        self.clear();
        if self.mode != Mode::Quiet {
            output::complain(line);
        }
    }

    /// When quiet, only a line that begins with "warning" is kept.
    fn note(&self, line: &str) {
        if !self.is_new(line) {
            return;
        }
        if self.mode != Mode::Quiet || line.starts_with("warning") {
            self.say(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_the_last_moments_and_not_of_what_was_done_before_a_resume() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut meter = Meter::new(at(0), 500);
        assert_eq!(meter.rate(), None);
        meter.record(at(10), 501); // a slow first step
        assert_eq!(meter.rate(), Some(0.1));
        for s in 11..=60 {
            meter.record(at(s), 501 + 20 * (s - 10));
        }
        assert_eq!(meter.rate(), Some(20.0));
        assert!(meter.recent.len() <= 23);
        assert_eq!(meter.mean_rate(), Some(20.0), "without the slow first step");
    }

    #[test]
    fn a_pause_between_epochs_is_no_rate_and_has_its_share_of_the_time_left() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut meter = Meter::new(at(0), 0);
        for s in 0..=60 {
            meter.record(at(10 + s), 10 + 10 * s);
        }
        assert_eq!(meter.rate(), Some(10.0));
        meter.record(at(110), 620); // features were looked at for 40 s
        assert_eq!((meter.rate(), meter.mean_rate()), (Some(6.1), Some(6.1)));
        meter.record(at(111), 630);
        assert_eq!(meter.rate(), Some(10.0), "the pause is no rate");
        meter.record(at(131), 830);
        assert_eq!(meter.mean_rate(), Some(820.0 / 121.0), "the pause counts");
    }

    #[test]
    fn slow_steps_have_a_rate_from_the_first_on() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut meter = Meter::new(at(0), 0);
        meter.record(at(20), 0); // a stage that says that it has begun
        assert_eq!(meter.rate(), None);
        meter.record(at(50), 1);
        assert_eq!(meter.rate(), Some(0.02));
        meter.record(at(75), 2);
        assert_eq!(meter.rate(), Some(0.04));
    }

    #[test]
    fn what_is_true_of_many_cells_is_said_once() {
        let listener = Listener::new(true);
        assert!(listener.is_new("an epoch leaves out 3 images") && !listener.is_new("an epoch leaves out 3 images"));
        assert!(listener.is_new("an epoch leaves out 4 images"));
    }

    #[test]
    fn the_state_says_what_is_known() {
        assert_eq!(state(None, None, "steps", ""), "");
        assert_eq!(state(None, Some((10, 1.0)), "steps", "loss 2.1"), "loss 2.1");
        assert_eq!(state(Some(2.0), Some((130, 2.0)), "steps", "loss 2.1"), "2.0 steps/s, 1:05 left, loss 2.1");
        assert_eq!(state(Some(0.5), Some((0, 0.5)), "cases", "turn 17"), "0.5 cases/s, turn 17");
        assert_eq!(state(Some(500.0), Some((1_000_000, 250.0)), "images", ""), "500 images/s, 1:06:40 left");
        assert_eq!(state(Some(250.0), None, "images", ""), "250 images/s");
    }
}
