//! Who works in a folder, for file systems whose locks lie. The lock of a folder (`folder::locked`) is the rule. On a
//! network file system a lock may be granted to two machines: after a server restarted, where a mount keeps locks to
//! itself, or where a machine was cut off and lost its lock without knowing. So the process that works in a folder also
//! keeps a file there with an id that it alone has, and renews it. Who gets the lock and finds the file of another
//! machine watches it: while it changes, the other process lives, and the folder is its own. And before any file of a
//! finished folder is written, a checkpoint and `done` too, the file must still be there with the writer's id: it is gone
//! where another process followed and has finished.
//!
//! No machine reads the clock of another, and none its own calendar: a change of the file is seen, or is not for
//! [`PATIENCE`] by a clock that only goes forward. So a clock that jumps changes nothing.

use super::names::OWNER;
use crate::base::{Error, Result, files, seal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How often the file is renewed.
const BEAT: Duration = Duration::from_secs(20);

/// How long the file of another machine must stay as it is before its process counts as gone. Network file systems may
/// show a change a minute late.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    /// The id of the process.
    id: String,
    /// The machine since it was started; empty if that is not known.
    machine: String,
    /// How often the file was renewed.
    beat: u64,
}

/// A process, to others that work in the same folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Me {
    id: String,
    machine: String,
}

impl Me {
    /// This process.
    pub fn own() -> &'static Me {
        static ME: OnceLock<Me> = OnceLock::new();
        // Each of the standard library's hashers begins with random keys of the system.
        let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
        ME.get_or_init(|| Me { id: format!("{:016x}{:016x}", random(), random()), machine: machine() })
    }
}

/// A name of this machine that changes when it is started again. Empty if there is none, so that no two machines have
/// the same: a name of the network may be that of a clone.
fn machine() -> String {
    let linux = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let mac = || {
        let asked =
            std::process::Command::new("/usr/sbin/sysctl").args(["-n", "kern.bootsessionuuid"]).output().ok()?;
        asked.status.success().then(|| String::from_utf8_lossy(&asked.stdout).into_owned())
    };
    linux.or_else(|| if cfg!(target_os = "macos") { mac() } else { None }).unwrap_or_default().trim().to_string()
}

/// Time that only goes forward. Tests have their own.
pub(super) trait Time: Sync {
    /// Time since some moment.
    fn now(&self) -> Duration;
    /// Lets time pass.
    fn sleep(&self, time: Duration);
}

/// The time of the machine.
pub(super) struct Real(Instant);

impl Real {
    pub fn new() -> Real {
        Real(Instant::now())
    }
}

impl Time for Real {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The text of the file, whatever it is. `None` if it is not there.
fn text(folder: &Path) -> Option<String> {
    let path = folder.join(OWNER);
    match files::bytes(&path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(why) => path.try_exists().unwrap_or(true).then_some(why),
    }
}

/// The owner of the folder. `None` if there is none, or its file cannot be read.
fn owner(folder: &Path) -> Option<Owner> {
    text(folder).and_then(|text| seal::parse(&text).ok())
}

fn write(folder: &Path, me: &Me, beat: u64) -> Result<()> {
    seal::write(&folder.join(OWNER), &Owner { id: me.id.clone(), machine: me.machine.clone(), beat })
}

/// Whether the folder has the file of a process that may be on another machine.
pub(super) fn is_another_machine_s(folder: &Path, me: &Me) -> bool {
    text(folder).is_some() && !owner(folder).is_some_and(|o| is_over(&o, me))
}

/// Whether the process that left the file has ended, as who has the lock knows: locks within a machine do not lie.
fn is_over(left: &Owner, me: &Me) -> bool {
    left.id == me.id || !me.machine.is_empty() && left.machine == me.machine
}

/// The file of another machine's process that was watched and did not change, so that the process counts as gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone(String);

/// Watches the file of another machine's process. [`Error::Busy`] if the process still renews it. `None` if there is no
/// such file, or it is removed meanwhile. `stop` ends the watch.
pub(super) fn watch(folder: &Path, me: &Me, (time, stop): (&dyn Time, &AtomicBool)) -> Result<Option<Gone>> {
    let Some(before) = text(folder).filter(|_| is_another_machine_s(folder, me)) else { return Ok(None) };
    let until = time.now() + PATIENCE;
    while time.now() < until {
        if stop.load(Ordering::Relaxed) {
            let what = "stopped while another machine's process was watched; the same command goes on";
            return Err(Error::TryAgain(what.into()));
        }
        time.sleep(LOOK);
        match text(folder) {
            None => return Ok(None), // it has ended
            Some(now) if now != before => return Err(Error::Busy(folder.to_path_buf())),
            Some(_) => {}
        }
    }
    Ok(Some(Gone(before)))
}

/// Makes the folder `me`'s, who has its lock. [`Error::Busy`] if another process still renews its file there, or was
/// faster. A file that was watched before and is `gone` is not watched again.
fn take(folder: &Path, me: &Me, gone: Option<Gone>, (time, stop): (&dyn Time, &AtomicBool)) -> Result<()> {
    let watched = is_another_machine_s(folder, me);
    if gone.is_none() || gone != text(folder).map(Gone) {
        watch(folder, me, (time, stop))?;
    }
    write(folder, me, 0)?;
    // Two that watched the same file to its end both write. The later one is the owner.
    if watched {
        time.sleep(LOOK);
    }
    match owner(folder) {
        Some(o) if o.id != me.id => Err(Error::Busy(folder.to_path_buf())),
        _ => Ok(()),
    }
}

/// Folders in which somebody of this process works, with his id.
fn at_work() -> MutexGuard<'static, BTreeSet<(PathBuf, String)>> {
    static AT_WORK: Mutex<BTreeSet<(PathBuf, String)>> = Mutex::new(BTreeSet::new());
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// [`Error::Busy`] if another process has made the folder its own. Who works in the folder must find his own file: it is
/// gone after another process took the folder, finished it and left. Elsewhere a folder without an owner is nobody's.
fn expect_mine(folder: &Path, me: &Me) -> Result<()> {
    let mine = match owner(folder) {
        Some(o) => o.id == me.id,
        None => !at_work().contains(&(folder.to_path_buf(), me.id.clone())),
    };
    if mine { Ok(()) } else { Err(Error::Busy(folder.to_path_buf())) }
}

/// [`Error::Busy`] if this process works in the folder and has lost it. It is called before each write of a file that a
/// finished folder has.
pub(super) fn still_mine(folder: &Path) -> Result<()> {
    expect_mine(folder, Me::own())
}

/// Renews the file. Returns whether the folder is still `me`'s.
fn renew(folder: &Path, me: &Me) -> bool {
    match owner(folder) {
        Some(o) if o.id == me.id => {
            // A file that cannot be renewed lets others take the folder, which is seen before anything is written.
            let _ = write(folder, me, o.beat + 1);
            true
        }
        _ => false,
    }
}

/// Runs `f` while `folder` is `me`'s, and renews its file meanwhile. Whoever calls it has the folder's lock. `gone` is what
/// [`watch`] found before.
pub(super) fn owned<T>(
    folder: &Path,
    (me, gone): (&Me, Option<Gone>),
    watch: (&dyn Time, &AtomicBool),
    f: impl FnOnce() -> Result<T>,
) -> Result<T> {
    /// Ends the work, however it ends.
    struct Ends((PathBuf, String));
    impl Drop for Ends {
        fn drop(&mut self) {
            at_work().remove(&self.0);
        }
    }
    take(folder, me, gone, watch)?;
    let work = Ends((folder.to_path_buf(), me.id.clone()));
    at_work().insert(work.0.clone());
    let (working, ended) = channel::<()>();
    let made = std::thread::scope(move |scope| {
        let working = working; // is dropped when `f` ends, however it ends
        let beat = move || while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) && renew(folder, me) {};
        scope.spawn(beat);
        let made = f();
        drop(working);
        made
    });
    if owner(folder).is_some_and(|o| o.id == me.id) {
        forget_owner(folder);
    }
    made
}

/// Removes the file of a folder that nobody works in any more.
pub(super) fn forget_owner(folder: &Path) {
    let _ = std::fs::remove_file(folder.join(OWNER)); // one that stays is that of a process that has ended
}

#[cfg(test)]
mod tests;
