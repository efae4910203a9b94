//! From files to stored pixels: decoding, channels, resizing, and the digest that finds duplicates.
//!
//! Two images are duplicates when their size and pixels are equal after decoding to the wanted channels and before
//! resizing. At that point a picture is upright, blended over black where it is transparent, and 8 bits deep. File
//! bytes would miss the same picture with other metadata or in another lossless container. Pixels after resizing would
//! merge different pictures that look alike when small, and would depend on the store size.
//!
//! [`picture`] opens a file of any kind within its [`limit`]. [`jpeg`] reads JPEG, [`dicom`] DICOM. [`tiff_jpeg`] and
//! [`tiff_float`] read two kinds of TIFF. [`blocks`] and [`tiff`] find what the image library does not give. [`flatten`] makes bytes. [`notes`] collects what the user should
//! know.

use crate::base::{Error, Result};
use crate::data::{DecodedData, Images, Keep, LeftOut, LoadOptions, Loading, Origin, Part, Split};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Mutex, PoisonError};
use twox_hash::XxHash3_128;

mod blocks;
mod dicom;
mod flatten;
mod form;
mod jpeg;
mod limit;
mod notes;
mod picture;
#[cfg(test)]
mod tests;
mod tiff;
mod tiff_float;
mod tiff_jpeg;

pub use fast_image_resize::Resizer;
pub use flatten::luma;
pub use form::{Mode, PixelForm};
pub use limit::MAX_PIXELS;
pub(crate) use notes::Notes;
pub(crate) use picture::Remark;

/// Whether a file counts as an image: it has one of the [`endings`], or no ending or a number as ending and the content
/// of a DICOM file.
pub fn is_image(path: &Path) -> bool {
    let numbered = |e: &std::ffi::OsStr| e.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    picture::Kind::of_ending(path).is_some() || path.extension().is_none_or(numbered) && picture::is_dicom(path)
}

/// The endings of the files that are read, in lower case and without the dot. Case in file names does not matter.
pub fn endings() -> impl Iterator<Item = &'static str> {
    picture::ENDINGS.iter().map(|(ending, _)| *ending)
}

/// The stem of a file or the name of a folder, for messages and tables.
pub fn name_of(path: &Path) -> String {
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// An image as decoded, in its own size and channels.
pub struct Raw {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The number of channels: 1 or 3.
    pub channels: usize,
    /// H × W × C bytes.
    pub pixels: Vec<u8>,
}

impl Raw {
    /// The picture turned upright.
    fn turned(self, orientation: Orientation) -> Result<Self, String> {
        if orientation == Orientation::NoTransforms {
            return Ok(self);
        }
        let (width, height, channels) = (self.width as u32, self.height as u32, self.channels);
        let image = match channels {
            1 => GrayImage::from_raw(width, height, self.pixels).map(DynamicImage::from),
            _ => RgbImage::from_raw(width, height, self.pixels).map(DynamicImage::from),
        };
        let mut image = image.ok_or("its pixels do not fit its size")?;
        image.apply_orientation(orientation);
        let (width, height) = (image.width() as usize, image.height() as usize);
        Ok(Raw { height, width, channels, pixels: image.into_bytes() })
    }

    fn convert(self, channels: usize) -> Self {
        let pixels = match (self.channels, channels) {
            (1, 3) => self.pixels.iter().flat_map(|&v| [v; 3]).collect(),
            (3, 1) => self.pixels.chunks_exact(3).map(|p| luma(p[0], p[1], p[2])).collect(),
            _ => self.pixels,
        };
        Raw { channels, pixels, ..self }
    }

    /// The pixels in the wanted channels and size, with their origin.
    pub fn store(self, options: &LoadOptions, resizer: &mut Resizer) -> Result<(Vec<u8>, Origin)> {
        let raw = self.convert(options.channels);
        let origin = raw.origin();
        Ok((raw.resize(options.store_size, resizer)?, origin))
    }

    fn origin(&self) -> Origin {
        let (height, width) = (self.height as u32, self.width as u32);
        // The hash has to tell pictures apart and to keep no secret. SHA-256 takes a third of the time of decoding a JPEG.
        let sum = XxHash3_128::oneshot_with_seed(u64::from(height) << 32 | u64::from(width), &self.pixels);
        Origin { digest: sum.to_le_bytes(), height, width }
    }

    /// The whole image, resized to a square. When the image shrinks, the bilinear filter becomes wider, so there is no
    /// aliasing.
    fn resize(self, size: usize, resizer: &mut Resizer) -> Result<Vec<u8>> {
        if (self.height, self.width) == (size, size) {
            return Ok(self.pixels);
        }
        let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("an image could not be resized: {e}"));
        let kind = if self.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
        let from = ImageRef::new(self.width as u32, self.height as u32, &self.pixels, kind).map_err(|e| failed(&e))?;
        let mut to = Image::new(size as u32, size as u32, kind);
        let how = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        resizer.resize(&from, &mut to, &how).map_err(|e| failed(&e))?;
        Ok(to.into_vec())
    }
}

/// Runs `work` for 0..n on every core. Passes the results to `take` in order, on the calling thread, which may end the work.
pub fn in_parallel<T: Send>(
    n: usize,
    work: impl Fn(usize, &mut Resizer) -> T + Sync,
    mut take: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    // So many results at most are begun and not taken, which bounds the memory and is enough that no core waits.
    let ahead = (8 * rayon::current_num_threads()).min(256);
    let (work, resizers) = (&work, &Mutex::new(Vec::new()));
    rayon::in_place_scope(|scope| {
        let begin = |i: usize| {
            let (give, result) = sync_channel(1);
            scope.spawn(move |_| {
                let free = || resizers.lock().unwrap_or_else(PoisonError::into_inner);
                let mut resizer = free().pop().unwrap_or_else(Resizer::new);
                let _ = give.send(work(i, &mut resizer)); // nobody listens where the work was ended
                free().push(resizer);
            });
            result
        };
        let mut begun: VecDeque<Receiver<T>> = (0..n.min(ahead)).map(begin).collect();
        for i in 0..n {
            // Without a result there was a panic, which the scope passes on.
            let Some(result) = begun.pop_front().and_then(waited) else { break };
            if i + ahead < n {
                begun.push_back(begin(i + ahead));
            }
            take(i, result)?;
        }
        Ok(())
    })
}

/// The result when it is there. A thread that is to do such work itself does it meanwhile, because there may be no other.
fn waited<T>(result: Receiver<T>) -> Option<T> {
    if rayon::current_thread_index().is_none() {
        return result.recv().ok();
    }
    loop {
        match result.try_recv() {
            Ok(result) => return Some(result),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) if rayon::yield_now() == Some(rayon::Yield::Executed) => {}
            Err(TryRecvError::Empty) => std::thread::yield_now(),
        }
    }
}

/// A file to decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name in the dataset.
    pub name: String,
    /// Its class.
    pub label: u32,
    /// Its patient, or another group that splits must not divide. None where the group is not known.
    pub group: Option<String>,
}

/// The image files of a dataset, before decoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// A short name.
    pub name: String,
    /// Class names.
    pub classes: Vec<String>,
    /// The files of train, val and test. None where there is no such split.
    pub files: [Option<Vec<ImageFile>>; 3],
    /// How many files of each ending were found but are not read.
    pub unread: BTreeMap<String, usize>,
    /// Notes for the user on how the files were listed, one for each line.
    pub notes: Vec<String>,
}

/// A file that was decoded: its place in the part, its remarks, its patient and the form of its pixels.
type Decoded = (usize, Vec<picture::Remark>, Option<String>, PixelForm);

impl Listing {
    /// Decodes every file and lists those that cannot be decoded, with the reason. A file that cannot be read is an error.
    /// The caller adds the notes of the listing, because they are not about the pixels, which the cache keeps.
    pub fn decode(&self, options: &LoadOptions, keep: Keep<'_>, progress: &dyn Loading) -> Result<DecodedData> {
        let total = self.files.iter().flatten().map(Vec::len).sum();
        let mut source =
            DecodedData { name: self.name.clone(), classes: self.classes.clone(), ..DecodedData::default() };
        let (mut done, mut notes, gate) = (0, notes::Notes::default(), picture::Gate::default());
        for ((split, entries), slot) in Split::ALL.into_iter().zip(&self.files).zip(&mut source.parts) {
            let Some(entries) = entries else { continue };
            let (part, mut patients) = (slot.insert(Part::begin(options, split, keep)?), Vec::new());
            let first = firsts(entries);
            let mut ended: Vec<Result<Decoded, String>> = Vec::with_capacity(entries.len());
            let one = |i: usize, resizer: &mut Resizer| -> Result<Option<Result<_, String>>> {
                if first[i] != i {
                    return Ok(None);
                }
                let limit = picture::Limit::new(options.max_pixels, &gate); // until it is stored
                match opened(&entries[i].path, options, &limit)? {
                    Ok(o) => Ok(Some(Ok((o.raw.store(options, resizer)?, o.remarks, o.patient, o.form)))),
                    Err(reason) => Ok(Some(Err(reason))),
                }
            };
            in_parallel(entries.len(), one, |i, result| {
                let entry = &entries[i];
                let read = match result? {
                    Some(Ok(((pixels, origin), remarks, patient, form))) => {
                        part.push(&pixels, origin, entry.label, entry.name.clone())?;
                        Ok((part.images.len() - 1, remarks, patient, form))
                    }
                    None => {
                        let again = ended[first[i]].clone();
                        if let Ok((at, ..)) = &again {
                            let (pixels, origin) = (part.images.image(*at)?.into_owned(), part.origins[*at]);
                            part.push(&pixels, origin, entry.label, entry.name.clone())?;
                        }
                        again
                    }
                    Some(Err(reason)) => Err(reason),
                };
                match &read {
                    Ok((_, remarks, patient, form)) => {
                        *source.forms[split as usize].entry(*form).or_insert(0) += 1;
                        notes.add(remarks.clone(), &entry.name);
                        patients.push(patient.clone());
                    }
                    Err(reason) => {
                        let (name, label, reason) = (entry.name.clone(), entry.label, reason.clone());
                        source.unreadable.push(LeftOut { name, split, label, reason });
                    }
                }
                ended.push(read);
                done += 1;
                progress.at(done, total)
            })?;
            if patients.iter().any(Option::is_some) {
                part.groups = patients;
            }
        }
        source.notes.extend(notes.lines(options));
        Ok(source)
    }

    /// The pixels of image `at` of a split, those `left_out` not counted.
    pub(super) fn decode_one(
        &self,
        options: &LoadOptions,
        (split, at): (Split, usize),
        left_out: &[LeftOut],
    ) -> Result<Vec<u8>> {
        let lost: HashSet<&str> = left_out.iter().filter(|l| l.split == split).map(|l| l.name.as_str()).collect();
        let entries = self.files[split as usize].iter().flatten();
        let Some(entry) = entries.filter(|e| !lost.contains(e.name.as_str())).nth(at) else {
            return Err(Error::Failed(format!("{} has no {} image {at}", self.name, split.name())));
        };
        let gate = picture::Gate::default();
        let read = opened(&entry.path, options, &picture::Limit::new(options.max_pixels, &gate))?;
        let read = read.map_err(|reason| Error::Data(format!("{}: {reason}", entry.path.display())))?;
        Ok(read.raw.store(options, &mut Resizer::new())?.0)
    }
}

/// Reads and opens a picture file; the inner error is why it cannot be decoded. A file that cannot be read now may be read
/// another time, so it is not one that cannot be decoded.
fn opened(path: &Path, options: &LoadOptions, limit: &picture::Limit<'_>) -> Result<Result<picture::Opened, String>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    Ok(picture::read(&bytes, picture::Kind::of_ending(path), options.channels, options.bit_depth, limit))
}

/// For each entry, the first entry that names the same file, by any path. A short list can name one large picture tens
/// of thousands of times; it is decoded once.
fn firsts(entries: &[ImageFile]) -> Vec<usize> {
    let mut places: HashMap<PathBuf, usize> = HashMap::new();
    let place = |(i, e): (usize, &ImageFile)| {
        let path = e.path.canonicalize().unwrap_or_else(|_| e.path.clone());
        *places.entry(path).or_insert(i)
    };
    entries.iter().enumerate().map(place).collect()
}

/// Image `i`, resized to a square of `size` pixels with 1 or 3 channels: size × size × channels bytes.
pub fn resized(images: &Images, i: usize, size: usize, channels: usize, resizer: &mut Resizer) -> Result<Vec<u8>> {
    let (height, width) = (images.height, images.width);
    let raw = Raw { height, width, channels: images.channels, pixels: images.image(i)?.into_owned() };
    raw.convert(channels).resize(size, resizer)
}

/// Image `i` as a PNG file, for reports.
pub fn png(images: &Images, i: usize) -> Result<Vec<u8>> {
    let color = if images.channels == 1 { image::ExtendedColorType::L8 } else { image::ExtendedColorType::Rgb8 };
    let mut out = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut out);
    image::ImageEncoder::write_image(encoder, &images.image(i)?, images.width as u32, images.height as u32, color)
        .map_err(|e| Error::Failed(format!("a PNG could not be written: {e}")))?;
    Ok(out)
}
