//! Writes files whole or not at all: to a temporary name in the same folder, then synced, then renamed.

use crate::base::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The beginning of temporary names.
const PREFIX: &str = ".wgslab-";
const SUFFIX: &str = ".tmp";

/// Whether `path` is the temporary file of a write that was cut short.
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Holds a temporary file for as long as it is open, so that others can tell that its writer lives. The system lets go of
/// it when the process ends, however it ends. Where it cannot be held, its age must do.
#[cfg(all(unix, feature = "study"))]
fn hold(file: &File) {
    // The lock is that of the open file, and stays with it when this second handle is closed.
    let Ok(own) = file.try_clone() else { return };
    let mut lock = fd_lock::RwLock::new(own);
    if let Ok(guard) = lock.try_write() {
        std::mem::forget(guard);
    }
}

#[cfg(not(all(unix, feature = "study")))]
fn hold(_: &File) {}

/// Whether a living process holds the temporary file at `path`. `None` where the system cannot tell.
#[cfg(all(unix, feature = "study"))]
pub fn is_held(path: &Path) -> Option<bool> {
    let file = File::options().read(true).write(true).open(path).ok()?;
    let mut lock = fd_lock::RwLock::new(file);
    match lock.try_write() {
        Ok(_) => Some(false),
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Some(true),
        Err(_) => None,
    }
}

/// Whether a living process holds the temporary file at `path`. `None` where the system cannot tell.
#[cfg(not(all(unix, feature = "study")))]
pub fn is_held(_: &Path) -> Option<bool> {
    None
}

/// Writes `bytes` to `path` atomically, and makes its folder if necessary.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = Growing::new(path)?;
    file.write(bytes)?;
    file.keep()
}

/// A file that is written in parts. It is at its path once it is kept, whole; one that is dropped before leaves nothing.
#[derive(Debug)]
pub struct Growing {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Growing {
    /// An empty file that will be at `path`. Makes its folder if necessary.
    pub fn new(path: &Path) -> Result<Growing> {
        let folder = folder_of(path);
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "make the folder", e))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask, as for any new file
        let file = builder.tempfile_in(folder).map_err(|e| Error::io(folder, "write in", e))?;
        hold(file.as_file());
        Ok(Growing { file, path: path.to_path_buf() })
    }

    /// Adds bytes at its end.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io(&self.path, "write", e))
    }

    /// A second handle of its own place, which reads what was written so far.
    pub fn reopen(&self) -> Result<File> {
        self.file.reopen().map_err(|e| Error::io(&self.path, "read", e))
    }

    /// Puts it at its path.
    pub fn keep(self) -> Result<()> {
        let Growing { file, path } = self;
        file.as_file().sync_all().map_err(|e| Error::io(&path, "write", e))?;
        file.persist(&path).map_err(|e| Error::io(&path, "rename to", e.error))?;
        // The rename must survive a power cut, so the folder is synced if the platform can open one.
        if let Ok(d) = File::open(folder_of(&path)) {
            let _ = d.sync_all(); // Some file systems refuse to sync a folder; the file itself is already safe.
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a file, naming it in the error.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(path, "read", e))
}

/// Reads a UTF-8 file of at most `most` bytes; `None` if it is longer, even if its size says otherwise.
pub fn read_text_up_to(path: &Path, most: usize) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, "read", e))?;
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, "read", e))?;
    // The length is checked before UTF-8, because text that was cut may end within a character. That is not the user's
    // mistake.
    if bytes.len() > most {
        return Ok(None);
    }
    let text = String::from_utf8(bytes).map_err(|_| std::io::Error::other("stream did not contain valid UTF-8"));
    text.map(Some).map_err(|e| Error::io(path, "read", e))
}

/// Reads a UTF-8 file; `None` if there is no such file. Any other problem is an error.
pub fn read_text_if_there(path: &Path) -> Result<Option<String>> {
    if exists(path)? { read_text(path).map(Some) } else { Ok(None) }
}

/// Whether something is at `path`. It is an error if that cannot be found out. Without the error, the caller would
/// start over although something is there.
pub fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|e| Error::io(path, "look at", e))
}

/// The bytes of a file that the program wrote, or why it cannot be read. The reason does not name the file.
pub fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    match std::fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err("it is missing".to_string()),
        Err(e) => Err(format!("it cannot be read ({e})")),
        Ok(bytes) => Ok(bytes),
    }
}

/// The text of a file that the program wrote, or why it cannot be read. The reason does not name the file.
pub fn text(path: &Path) -> Result<String, String> {
    String::from_utf8(bytes(path)?).map_err(|_| "it is not UTF-8 text".to_string())
}

/// Reads a UTF-8 file, naming it in the error.
pub fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.txt");
        write_atomic(&path, b"one, and long").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert!(is_temporary(Path::new("a/.wgslab-x.tmp")) && !is_temporary(&path));
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_grows_is_there_once_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let mut file = Growing::new(&path).unwrap();
        file.write(b"one").unwrap();
        file.write(b"two").unwrap();
        let mut read = String::new();
        file.reopen().unwrap().read_to_string(&mut read).unwrap();
        assert!(read == "onetwo" && !path.exists());
        file.keep().unwrap();
        assert_eq!(super::read(&path).unwrap(), b"onetwo");
        drop(Growing::new(&dir.path().join("a/c")).unwrap());
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    /// Linux has a file that is always full.
    #[test]
    fn a_full_disk_names_the_path_and_the_way_out() {
        let Ok(full) = File::options().write(true).open("/dev/full") else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images.pages");
        let gone = tempfile::TempPath::try_from_path(dir.path().join("x")).unwrap();
        let mut file = Growing { file: tempfile::NamedTempFile::from_parts(full, gone), path: path.clone() };
        let e = file.write(&[7; 100]).unwrap_err();
        let said = e.to_string();
        assert!(e.exit_code() == 1 && said.contains("images.pages") && said.contains("make room"), "{said}");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_too_long_is_that_wherever_it_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "größe").unwrap();
        for most in 0..7 {
            assert_eq!(read_text_up_to(&path, most).unwrap(), None, "{most}");
        }
        assert_eq!(read_text_up_to(&path, 7).unwrap().as_deref(), Some("größe"));
        std::fs::write(&path, b"gr\xc3").unwrap();
        assert_eq!(read_text_up_to(&path, 7).unwrap_err().exit_code(), 4);
    }

    #[test]
    fn a_missing_file_is_not_one_that_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert_eq!((exists(&path).unwrap(), read_text_if_there(&path).unwrap()), (false, None));
        std::fs::create_dir(&path).unwrap();
        assert_eq!(read_text_if_there(&path).unwrap_err().exit_code(), 4);
        write_atomic(&dir.path().join("b"), b"text").unwrap();
        assert_eq!(read_text_if_there(&dir.path().join("b")).unwrap().as_deref(), Some("text"));
        if cfg!(unix) {
            assert!(exists(&dir.path().join("b/c")).is_err(), "a file is not a folder");
        }
    }
}
