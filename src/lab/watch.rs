//! Watches a shader. At each save a process of its own tries the edit, so that an endless loop or a lost device ends
//! that process and not the watch.

use super::shader_trial::TrialVerdict;
use crate::base::{Error, Result};
use notify_debouncer_mini::{new_debouncer, notify::RecursiveMode};
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime};

/// Saves this close together count as one: editors write in several steps.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// How often the process is looked at.
const TICK: Duration = Duration::from_millis(20);

/// Calls `judged` with the verdict on `file` as it is now and, unless `once`, at each later save, for ever. `child` is
/// a command that prints a [`TrialVerdict`] as the last line of its stdout. It is killed after `limit`, or if the file
/// is saved meanwhile. The watch ends with an error if `judged` returns one or if the file's folder cannot be watched.
pub fn watch(
    file: &Path,
    once: bool,
    limit: Duration,
    child: &dyn Fn() -> Result<Command>,
    judged: &mut dyn FnMut(&TrialVerdict) -> Result<()>,
) -> Result<()> {
    if once {
        let verdict = run(child()?, limit, &|| false)?;
        return verdict.map_or(Ok(()), |v| judged(&v));
    }
    let (saved, saves) = channel();
    let failed = |e: notify_debouncer_mini::notify::Error| {
        Error::Failed(format!("cannot watch {}: {e}; --once looks at it once", file.display()))
    };
    let mut debouncer = new_debouncer(DEBOUNCE, saved).map_err(failed)?;
    // Watch the folder: an editor may replace the file.
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    debouncer.watcher().watch(folder, RecursiveMode::NonRecursive).map_err(failed)?;
    loop {
        let tried = stamp(file);
        // Reading the file is an event, too. Only a new time of writing counts.
        let newer = || stamp(file).is_some_and(|s| Some(s) != tried);
        if tried.is_some() {
            if let Some(verdict) = run(child()?, limit, &newer)? {
                judged(&verdict)?;
            }
        }
        while !newer() {
            let event = saves.recv();
            event.map_err(|e| Error::Failed(format!("the watch of {} ended: {e}", file.display())))?.map_err(failed)?;
        }
    }
}

/// When the file was last written; `None` while an editor replaces it.
fn stamp(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|m| m.modified()).ok()
}

/// The verdict of the process, or one that says why there is none. `None` if `newer` said that the file changed
/// meanwhile.
fn run(mut command: Command, limit: Duration, newer: &dyn Fn() -> bool) -> Result<Option<TrialVerdict>> {
    let failed = |e: std::io::Error| Error::Failed(format!("cannot run the process that judges an edit: {e}"));
    // Files, not pipes: nobody has to drain them while the process runs.
    let (mut out, mut err) = (tempfile::tempfile().map_err(failed)?, tempfile::tempfile().map_err(failed)?);
    command.stdin(Stdio::null()).stdout(out.try_clone().map_err(failed)?).stderr(err.try_clone().map_err(failed)?);
    let (mut child, started) = (command.spawn().map_err(failed)?, Instant::now());
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        let late = started.elapsed() > limit;
        if late || newer() {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            let why = format!(
                "it did not end in {} s and was killed: a loop without end, or a case too large for --limit-s",
                limit.as_secs_f64()
            );
            return Ok(late.then_some(TrialVerdict::Stopped { why }));
        }
        std::thread::sleep(TICK);
    };
    let read = |file: &mut std::fs::File| {
        let mut text = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut text)).map_err(failed)?;
        Ok::<_, Error>(String::from_utf8_lossy(&text).into_owned())
    };
    let (out, err) = (read(&mut out)?, read(&mut err)?);
    let verdict = out.lines().next_back().and_then(|l| serde_json::from_str(l).ok());
    Ok(Some(verdict.unwrap_or_else(|| TrialVerdict::Stopped { why: died(status, &err) })))
}

/// How a process without a verdict ended, with its last line.
fn died(status: ExitStatus, said: &str) -> String {
    let last = said.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
    format!("the process that ran it ended with {status} and no verdict: {last}")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    fn verdict(text: &str, limit_ms: u64) -> TrialVerdict {
        run(shell(text), Duration::from_millis(limit_ms), &|| false).unwrap().unwrap()
    }

    #[test]
    fn the_last_line_is_the_verdict() {
        let broken = TrialVerdict::Broken { why: "a 'quoted' word".into() };
        let line = serde_json::to_string(&broken).unwrap();
        let text = format!("echo noise; cat <<'E'\n{line}\nE");
        assert_eq!(verdict(&text, 10_000), broken);
    }

    #[test]
    fn a_process_without_a_verdict_is_one_of_its_own() {
        let TrialVerdict::Stopped { why } = verdict("sleep 60", 50) else { panic!("it was to be killed") };
        assert!(why.contains("0.05 s"), "{why}");
        let TrialVerdict::Stopped { why } = verdict("echo cause >&2; exit 3", 10_000) else {
            panic!("it has no verdict")
        };
        assert!(why.contains('3') && why.ends_with("cause"), "{why}");
        let TrialVerdict::Stopped { why } = verdict("kill -SEGV $$", 10_000) else { panic!("it has no verdict") };
        assert!(why.contains("signal"), "{why}");
        assert_eq!(run(shell("sleep 60"), Duration::from_secs(60), &|| true).unwrap(), None);
    }
}
