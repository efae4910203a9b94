//! A folder of a run or of a pretraining. One process works in it at a time. `config.toml` and `environment.json` say
//! what makes it. `done` is written last and names what made the folder, with the SHA-256 of every file. A file of a
//! finished folder is compared with that before it is used.

use super::config::Config;
use super::names::{AWAY, CONFIG, DONE, ENVIRONMENT, EPOCHS, LOCK, OWNER, REDO};
use super::owner::{Me, Real, Time, forget_owner, is_another_machine_s, owned, still_mine, watch};
use super::provenance::Provenance;
use super::session::Job;
use crate::base::hash::sha256;
use crate::base::{Error, Result, files, seal};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Files of up to this many bytes are compared whole whenever a finished folder is met. For larger files, the weights,
/// only the size is compared then, and the contents when they are used.
const SMALL: u64 = 1 << 20;

/// Whether a run or a study was begun in a folder.
pub fn begun(out: &Path) -> bool {
    ["runs", "pretraining", "config.toml"].iter().any(|name| out.join(name).exists())
}

/// What `done` says of a finished folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Done {
    /// The address of what made it, see [`Provenance`].
    pub address: String,
    /// Its files by name.
    pub files: BTreeMap<String, Contents>,
}

/// Size and hash of a file when it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    pub bytes: u64,
    pub sha256: String,
}

impl Done {
    /// Marks `folder` as finished, with these files.
    pub fn write(folder: &Path, address: &str, names: &[&str]) -> Result<Done> {
        let contents = |name: &&str| {
            let bytes = files::read(&folder.join(name))?;
            Ok((name.to_string(), Contents { bytes: bytes.len() as u64, sha256: sha256(&bytes) }))
        };
        let files = names.iter().map(contents).collect::<Result<_>>()?;
        still_mine(folder)?; // where its lock was granted to two, one of them finishes the folder
        let done = Done { address: address.to_string(), files };
        seal::write(&folder.join(DONE), &done)?;
        Ok(done)
    }

    /// Reads `done` of `folder`. `None` if the folder is not finished.
    pub fn read(folder: &Path) -> Result<Option<Done>> {
        let path = folder.join(DONE);
        // A folder that cannot be opened, or a file in its place, damages only one cell. The study goes on.
        let closed = |e: std::io::Error| Error::damaged(folder, format!("it cannot be looked into ({e})"), AWAY);
        if !path.try_exists().map_err(closed)? {
            return Ok(None);
        }
        let text = files::text(&path).map_err(|why| Error::damaged(&path, why, REDO))?;
        if text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            let folder = folder.display();
            return Err(Error::Foreign(format!(
                "{folder} was made by an older version of wgslab, whose files carry no checksums; take another --out, or \
                 delete it to start anew"
            )));
        }
        seal::parse(&text).map(Some).map_err(|why| Error::damaged(&path, why, REDO))
    }

    /// The bytes of one of its files, after they are compared.
    pub fn bytes(&self, folder: &Path, name: &str) -> Result<Vec<u8>> {
        let path = folder.join(name);
        let bad = |why: &str| Error::damaged(&path, why, REDO);
        let due = self.files.get(name).ok_or_else(|| bad("the folder's done does not name it"))?;
        let bytes = files::bytes(&path).map_err(|why| bad(&why))?;
        if bytes.len() as u64 != due.bytes || sha256(&bytes) != due.sha256 {
            return Err(bad("it is not what was written there when the folder was done"));
        }
        Ok(bytes)
    }

    /// The text of one of its files, after it is compared.
    pub fn text(&self, folder: &Path, name: &str) -> Result<String> {
        let bad = |_| Error::damaged(&folder.join(name), "it is no text", REDO);
        String::from_utf8(self.bytes(folder, name)?).map_err(bad)
    }

    /// Compares the sizes of all its files: what a look at many cells can afford.
    pub fn check_sizes(&self, folder: &Path) -> Result<()> {
        self.files.iter().try_for_each(|(name, due)| size_is(&folder.join(name), due.bytes))
    }

    /// Compares all its files. The small files, and the epochs, which a report shows, are compared by contents, the
    /// others by size.
    pub fn check(&self, folder: &Path) -> Result<()> {
        for (name, due) in &self.files {
            if due.bytes <= SMALL || name == EPOCHS {
                self.bytes(folder, name)?;
                continue;
            }
            size_is(&folder.join(name), due.bytes)?;
        }
        Ok(())
    }
}

fn size_is(path: &Path, bytes: u64) -> Result<()> {
    match path.metadata() {
        Ok(found) if found.is_file() && found.len() == bytes => Ok(()),
        Ok(_) => Err(Error::damaged(path, "its size differs", REDO)),
        Err(e) => Err(Error::damaged(path, format!("it cannot be looked at ({e})"), REDO)),
    }
}

/// Reads `done` of a folder that `made` made. `None` if the folder is not finished. It is an error if something else
/// made it.
pub(super) fn finished(folder: &Path, made: &Provenance) -> Result<Option<Done>> {
    match Done::read(folder)? {
        Some(done) if done.address == made.address => {
            done.check(folder)?;
            Ok(Some(done))
        }
        Some(_) => Err(made.another(folder)),
        None => Ok(None),
    }
}

/// What a finished folder holds, which `read` reads. If the folder is not finished, `make` makes it. `prepare` runs
/// before the folder is touched, so what can be refused is refused there. `make` runs while the folder is locked. It is
/// [`Error::Busy`] if another process works in the folder.
pub(super) fn once<T, R>(
    job: &Job<'_>,
    folder: &Path,
    made: &Provenance,
    read: impl Fn(Done) -> Result<R>,
    prepare: impl FnOnce() -> Result<T>,
    make: impl FnOnce(T) -> Result<R>,
) -> Result<R> {
    let kept = || finished(folder, made)?.map(&read).transpose();
    if let Some(kept) = kept()? {
        forget_owner(folder); // one that was killed after it wrote `done`
        return Ok(kept);
    }
    // This comes before `prepare`, which may compile for minutes.
    if busy(folder)? {
        return Err(Error::Busy(folder.to_path_buf()));
    }
    // So does the watch: where locks lie, the folder is not busy while a process of another machine works in it.
    let (time, mut gone) = (Real::new(), None);
    let watching: (&dyn Time, &AtomicBool) = (&time, job.stop);
    if is_another_machine_s(folder, Me::own()) {
        job.progress.note(&format!(
            "{} has the mark of a process on another machine: watching for two minutes whether it lives",
            folder.display()
        ));
        gone = watch(folder, Me::own(), watching)?;
        if let Some(kept) = kept()? {
            return Ok(kept); // it has finished meanwhile
        }
    }
    let prepared = prepare()?;
    locked(folder, || match kept()? {
        Some(kept) => Ok(kept), // another process has made it meanwhile
        None => owned(folder, (Me::own(), gone), watching, || {
            sweep(folder, Duration::ZERO);
            make(prepared)
        }),
    })
}

impl Job<'_> {
    /// Writes `config.toml` and `environment.json` of a folder. They say what makes the folder; `about` is for people.
    pub(super) fn describe(&self, folder: &Path, made: &Provenance, about: Value) -> Result<()> {
        still_mine(folder)?;
        let mut about = about;
        if let Value::Object(about) = &mut about {
            about.insert("kernel_table".into(), json!(self.table_hash()));
            if let Some(hash) = self.gpu.tree().hash() {
                about.insert("shaders".into(), json!({ "hash": hash, "edited": self.gpu.tree().edited() }));
            }
        }
        seal::write(&folder.join(ENVIRONMENT), &made.environment(about)?)?;
        write_config(folder, self.config)
    }
}

/// Writes the resolved config into a folder.
pub(super) fn write_config(folder: &Path, config: &Config) -> Result<()> {
    files::write_atomic(&folder.join(CONFIG), seal::sealed_text(&config.to_toml()?).as_bytes())
}

/// The object of `json!({..})`.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// The resolved config that a run or a study wrote into its folder. Its checksum is compared.
pub fn kept_config(folder: &Path) -> Result<Config> {
    let path = folder.join(CONFIG);
    let way_out = "run its study or stage again, which writes it";
    let bad = |why: String| Error::damaged(&path, why, way_out);
    let text = files::text(&path).map_err(bad)?;
    Config::parse(&path.display().to_string(), seal::opened_text(&text).map_err(bad)?)
}

/// Locks a folder for this process while `f` runs. It is [`Error::Busy`] if another process has the lock.
pub(super) fn locked<T>(folder: &Path, f: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut lock = open_lock(folder)?;
    // A process that only looks whether a folder is free holds its lock for a moment.
    for _ in 0..5 {
        if is_free(&mut lock) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _guard = lock.try_write().map_err(|e| not_locked(folder, e))?;
    // Where locks lie, a process of another machine may be writing the temporary files.
    if !is_another_machine_s(folder, Me::own()) {
        sweep(folder, Duration::ZERO);
    }
    f()
}

/// As [`locked`], but waits for other processes. It is for work that takes a moment.
pub(super) fn locked_soon<T>(folder: &Path, stop: &AtomicBool, mut f: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match locked(folder, &mut f) {
            Err(Error::Busy(held)) if held == folder => wait_for_any(&[folder.to_path_buf()], stop)?,
            other => return other,
        }
    }
}

/// Waits until one of the folders is free. A request to stop ends the wait.
pub(super) fn wait_for_any(folders: &[PathBuf], stop: &AtomicBool) -> Result<()> {
    loop {
        for folder in folders {
            if !busy(folder)? {
                return Ok(());
            }
        }
        if stop.load(Ordering::Relaxed) {
            let what = "stopped while other processes were waited for; the same command goes on";
            return Err(Error::TryAgain(what.into()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Reads a folder that another process may be writing. A half-written folder is not damaged: if `read` finds damage
/// while another process works in the folder, the folder counts as empty.
pub(super) fn settled<T: Default>(folder: &Path, read: impl Fn() -> Result<T>) -> Result<T> {
    match read() {
        Err(Error::Damaged { .. }) if is_worked_in(folder) => Ok(T::default()),
        Err(Error::Damaged { .. }) => read(), // the other process may have finished in between
        other => other,
    }
}

/// Whether another process works in `folder`, and does not only check whether it is free. If the lock cannot be opened,
/// nobody works in the folder.
fn is_worked_in(folder: &Path) -> bool {
    for _ in 0..4 {
        if !busy(folder).unwrap_or(false) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Whether another process works in `folder`. The folder need not exist.
pub(super) fn busy(folder: &Path) -> Result<bool> {
    if !files::exists(&folder.join(LOCK))? {
        return Ok(false);
    }
    Ok(!is_free(&mut open_lock(folder)?))
}

fn is_free(lock: &mut fd_lock::RwLock<std::fs::File>) -> bool {
    !lock.try_write().is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
}

fn open_lock(folder: &Path) -> Result<fd_lock::RwLock<std::fs::File>> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "make the folder", e))?;
    let path = folder.join(LOCK);
    // A lock file of another user can be locked, but not written.
    let file = match std::fs::File::open(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => std::fs::File::create(&path),
        found => found,
    };
    let file = file.map_err(|e| Error::io(&path, "make", e))?;
    Ok(fd_lock::RwLock::new(file))
}

/// Only one error means that another process has the lock. Other errors, for instance on a file system without locks,
/// do not go away by waiting.
fn not_locked(folder: &Path, e: std::io::Error) -> Error {
    match e.kind() {
        ErrorKind::WouldBlock => Error::Busy(folder.to_path_buf()),
        _ => Error::io(&folder.join(LOCK), "lock", e),
    }
}

/// Empties a folder, so that its files are made again. `done` is removed first, so that an interruption does not leave
/// a folder that seems finished. [`Error::Busy`] if another process works in it; `stop` ends the look for one.
pub(super) fn clear(folder: &Path, stop: &AtomicBool) -> Result<()> {
    let emptied = || {
        let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "list", e))?;
        let mut paths: Vec<PathBuf> =
            entries.flatten().map(|e| e.path()).filter(|p| !p.ends_with(LOCK) && !p.ends_with(OWNER)).collect();
        paths.sort_by_key(|p| !p.ends_with(DONE));
        for path in paths {
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(|e| Error::io(&path, "remove", e))?;
        }
        Ok(())
    };
    locked(folder, || owned(folder, (Me::own(), None), (&Real::new(), stop), emptied))
}

/// Removes temporary files of writes that a kill interrupted: those that no living process holds. Where the system
/// cannot tell, it is those that have not changed for `older_than`: none at all in a folder whose lock this process has,
/// and in a folder that shards share so long that they belong to no present write.
pub(super) fn sweep(folder: &Path, older_than: Duration) {
    /// A file that was just made is not held yet.
    const FRESH: Duration = Duration::from_secs(2);
    let abandoned = |p: &Path| {
        let changed = p.metadata().and_then(|m| m.modified()).ok();
        let age = changed.and_then(|c| c.elapsed().ok());
        match files::is_held(p) {
            Some(true) => false,
            Some(false) => older_than.is_zero() || age.is_some_and(|age| age >= FRESH.min(older_than)),
            None => age.is_some_and(|age| age >= older_than),
        }
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|e| e.path()).filter(|p| files::is_temporary(p) && abandoned(p)) {
        let _ = std::fs::remove_file(path); // a file that stays does no harm
    }
}

#[cfg(test)]
mod tests;
