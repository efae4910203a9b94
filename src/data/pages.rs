//! Decoded images on disk, for a set that memory is not to hold: a page for each image, one file for each split.
//!
//! A file is named by what it was decoded from and how, and is written whole or not at all; beside it the cache keeps a
//! checksum of each page. A page is read where it is wanted and is never used unless its checksum is right: a damaged one
//! is decoded again from its source and written back. Steps take images in random order, hence one image a page: nothing is
//! read that is not wanted, and a checksum covers what is read.

use crate::base::files::Growing;
use crate::base::{Error, Result};
use crate::data::Split;
use crate::data::layout::Take;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// Which sets are kept in pages, and where these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// Decoded images of more bytes than this are kept in pages.
    pub resident_bytes: u64,
    /// The folder of the page files, where the decoded data is not cached.
    pub folder: PathBuf,
}

/// Where decoded images go.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    /// Into memory.
    Memory,
    /// Into page files whose names begin with this path.
    Pages(&'a Path),
}

/// The checksum of a page: the first half of its SHA-256.
pub(super) type Sum = [u8; 16];

fn sum(page: &[u8]) -> Sum {
    let mut sum = [0; 16];
    sum.copy_from_slice(&Sha256::digest(page)[..16]);
    sum
}

/// The page file of a split.
pub(super) fn path_of(stem: &Path, split: Split) -> PathBuf {
    let mut name = stem.as_os_str().to_os_string();
    name.push(format!(".{}.pages", split.name()));
    name.into()
}

/// A page file.
#[derive(Debug)]
pub(super) struct PageFile {
    path: PathBuf,
    /// Bytes of a page.
    stride: usize,
    file: File,
    sums: RwLock<Vec<Sum>>,
    /// The file while it is not at its path yet.
    growing: Mutex<Option<Growing>>,
    /// Decodes its pages again.
    source: OnceLock<Source>,
    /// Held while a page is decoded again, so that two readers do not do so at once.
    mending: Mutex<()>,
    /// What a person should know of damage.
    notes: Mutex<Vec<String>>,
}

/// Decodes a page again, and perhaps others on the way, and gives each with its number.
type Again = dyn Fn(usize, &mut Take<'_>) -> Result<()> + Send + Sync;

struct Source(Box<Again>);

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("what its pages were decoded from")
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // what it guards is whole after each statement
}

impl PageFile {
    /// An empty file that grows.
    pub fn create(path: PathBuf, stride: usize) -> Result<PageFile> {
        let growing = Growing::new(&path)?;
        let file = growing.reopen()?;
        Ok(PageFile { growing: Mutex::new(Some(growing)), ..PageFile::over(path, stride, file, Vec::new()) })
    }

    /// The file at its path, whose pages have these checksums. Why it cannot be used is the end of a sentence.
    pub fn open(path: PathBuf, stride: usize, sums: Vec<Sum>) -> Result<PageFile, String> {
        let shown = path.display();
        // Only a regular file is read: reading a pipe in its place would wait.
        if !path.is_file() {
            return Err(format!("{shown} is missing"));
        }
        let with = |write: bool| File::options().read(true).write(write).open(&path);
        let file = with(true).or_else(|_| with(false)).map_err(|e| format!("{shown} cannot be read: {e}"))?;
        let (length, due) = (file.metadata().map_err(|e| format!("{shown}: {e}"))?.len(), (sums.len() * stride) as u64);
        if length != due {
            return Err(format!("{shown} has {length} bytes, and its pages are {due}"));
        }
        Ok(PageFile::over(path.clone(), stride, file, sums))
    }

    fn over(path: PathBuf, stride: usize, file: File, sums: Vec<Sum>) -> PageFile {
        PageFile {
            path,
            stride,
            file,
            sums: RwLock::new(sums),
            growing: Mutex::default(),
            source: OnceLock::new(),
            mending: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    /// Adds a page.
    fn push(&self, page: &[u8]) -> Result<()> {
        if page.len() != self.stride {
            return Err(Error::Failed(format!("a page of {} bytes was given {}", self.stride, page.len())));
        }
        match &mut *locked(&self.growing) {
            Some(growing) => growing.write(page)?,
            None => return Err(Error::Failed(format!("{} is whole and takes no more pages", self.path.display()))),
        }
        self.sums.write().unwrap_or_else(PoisonError::into_inner).push(sum(page));
        Ok(())
    }

    /// Puts a file that grew at its path.
    pub fn keep(&self) -> Result<()> {
        locked(&self.growing).take().map_or(Ok(()), Growing::keep)
    }

    /// Tells how its pages are decoded again.
    pub fn decoded_by(&self, again: Box<Again>) {
        let _ = self.source.set(Source(again)); // a second telling says the same
    }

    /// The checksums of all pages.
    pub fn sums(&self) -> Vec<Sum> {
        self.sums.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads page `at` into `page`.
    fn read(&self, at: usize, page: &mut [u8]) -> Result<()> {
        let due = self.sums.read().unwrap_or_else(PoisonError::into_inner).get(at).copied();
        let due = due.ok_or_else(|| Error::Failed(format!("{} has no page {at}", self.path.display())))?;
        match self.whole(at, due, page) {
            Ok(()) => Ok(()),
            Err(why) => self.mend((at, due), &why, page),
        }
    }

    /// Reads a page, if it is whole.
    fn whole(&self, at: usize, due: Sum, page: &mut [u8]) -> Result<(), String> {
        read_at(&self.file, page, (at * self.stride) as u64).map_err(|e| e.to_string())?;
        if sum(page) == due { Ok(()) } else { Err("its checksum differs".to_string()) }
    }

    /// Decodes a damaged page again, and every other damaged page of the file, and writes them back. So damage is told once,
    /// and not page by page while steps meet it.
    fn mend(&self, (at, due): (usize, Sum), why: &str, page: &mut [u8]) -> Result<()> {
        let _one = locked(&self.mending);
        if self.whole(at, due, page).is_ok() {
            return Ok(()); // another reader was first
        }
        let path = self.path.display();
        let Some(Source(again)) = self.source.get() else {
            return Err(Error::damaged(
                &self.path,
                format!("page {at}: {why}"),
                "delete it, and the images are decoded again",
            ));
        };
        let (sums, mut mended, mut unwritten, mut found) = (self.sums(), 0, None, false);
        let mut held = vec![0; self.stride];
        let mut take = |i: usize, pixels: &[u8]| {
            if sums.get(i) != Some(&sum(pixels)) {
                return Ok(()); // its source is another one now
            }
            if i == at {
                page.copy_from_slice(pixels);
                found = true;
            }
            if self.whole(i, sums[i], &mut held).is_err() {
                mended += 1;
                unwritten = write_at(&self.file, pixels, (i * self.stride) as u64).err().or(unwritten.take());
            }
            Ok(())
        };
        let mut unmended = 0;
        apart(|| {
            again(at, &mut take)?;
            let damaged = |i: &usize| self.whole(*i, sums[*i], &mut vec![0; self.stride]).is_err();
            let others: Vec<usize> = (0..sums.len()).into_par_iter().filter(|i| *i != at && damaged(i)).collect();
            for i in others {
                // One whose source is gone is an error where it is wanted, and one that cannot be written back is decoded
                // again there.
                if self.whole(i, sums[i], &mut vec![0; self.stride]).is_err() {
                    unmended += usize::from(again(i, &mut take).is_err());
                }
            }
            Ok(())
        })?;
        if !found {
            return Err(Error::Data(format!(
                "page {at} of {path} is damaged ({why}), and its source holds another image now; the same command reads the set anew"
            )));
        }
        let back = unwritten.map_or(String::new(), |e| format!("; they cannot be written back: {e}"));
        let left = if unmended > 0 { format!("; {unmended} cannot be decoded again") } else { String::new() };
        let more = if mended > 1 { format!(" and {} more", mended - 1) } else { String::new() };
        let note = format!("warning: page {at}{more} of {path} was damaged ({why}): decoded again{back}{left}");
        locked(&self.notes).push(note);
        Ok(())
    }
}

/// Runs `work` on threads of its own. The caller may be a thread of the common pool and hold a lock: if the work went to that
/// pool, the caller would take on another read meanwhile and wait for its own lock.
fn apart(work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().build();
    let pool = pool.map_err(|e| Error::Failed(format!("no threads to decode a damaged page with: {e}")))?;
    let ended = std::thread::scope(|scope| scope.spawn(|| pool.install(work)).join());
    ended.unwrap_or_else(|_| Err(Error::Failed("decoding a damaged page ended by a panic".into())))
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => (bytes, at) = (&mut bytes[n..], at + n as u64),
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        (bytes, at) = (&bytes[n..], at + n as u64);
    }
    Ok(())
}

/// Images in a page file: all of them in its order, or some.
#[derive(Clone, Debug)]
pub struct Paged {
    file: Arc<PageFile>,
    /// The page of each image. None where image i is page i.
    at: Option<Arc<[u32]>>,
}

impl PartialEq for Paged {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.at == other.at
    }
}

impl Eq for Paged {}

impl Paged {
    pub(super) fn new(file: PageFile) -> Paged {
        Paged { file: Arc::new(file), at: None }
    }

    pub(super) fn file(&self) -> &Arc<PageFile> {
        &self.file
    }

    /// Adds an image to a file that grows.
    pub(super) fn push(&self, pixels: &[u8]) -> Result<()> {
        self.file.push(pixels)
    }

    /// `count` images of `stride` bytes that `make` gives, in pages of a file that will be at `path` where it is kept: of a program
    /// that has images of its own. Damaged pages are made again.
    pub fn made(
        path: &Path,
        (count, stride): (usize, usize),
        make: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
    ) -> Result<Paged> {
        let pages = Paged::new(PageFile::create(path.to_path_buf(), stride)?);
        (0..count).try_for_each(|i| pages.push(&make(i)))?;
        pages.file.decoded_by(Box::new(move |i, take| take(i, &make(i))));
        Ok(pages)
    }

    /// The images at `indices`, in that order.
    pub(super) fn select(&self, indices: impl Iterator<Item = usize>) -> Paged {
        Paged { file: self.file.clone(), at: Some(indices.map(|i| self.page(i)).collect()) }
    }

    fn page(&self, image: usize) -> u32 {
        self.at.as_ref().map_or(image as u32, |at| at[image])
    }

    /// The bytes of these images, each followed by zeros up to `spaced` bytes.
    pub fn read(&self, images: &[u32], spaced: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; images.len() * spaced];
        let stride = self.file.stride;
        bytes
            .par_chunks_mut(spaced.max(1))
            .zip(images)
            .try_for_each(|(to, &image)| self.file.read(self.page(image as usize) as usize, &mut to[..stride]))?;
        Ok(bytes)
    }

    /// What a person should know of damage since this was asked last.
    pub fn notes(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.file.notes))
    }
}

#[cfg(test)]
mod tests;
