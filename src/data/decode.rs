//! From files to stored pixels: decoding, channels, resizing, and the digest that tells duplicates.
//!
//! Two images are duplicates when their size and pixels are equal after decoding to the wanted channels and before
//! resizing. File bytes would miss the same picture with other metadata or in another lossless container; pixels
//! after resizing would merge different pictures that look alike once small, and would depend on the store size.

use crate::base::hash::Hasher;
use crate::base::{Error, Result, contained};
use crate::data::{Images, LoadOptions, Origin, Part, Source, Split};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions};
use image::{ImageReader, Limits};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

pub use fast_image_resize::Resizer;

/// Extensions of image files, in lower case.
const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "bmp", "tif", "tiff"];

/// Whether a file is taken for an image.
pub fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|e| EXTENSIONS.iter().any(|x| e.eq_ignore_ascii_case(x)))
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
    /// 1 or 3.
    pub channels: usize,
    /// H × W × C bytes.
    pub pixels: Vec<u8>,
}

impl Raw {
    /// Decodes a file by its content; the extension may lie.
    fn open(path: &Path, channels: usize) -> Result<Self, String> {
        let mut reader = ImageReader::open(path).and_then(|r| r.with_guessed_format()).map_err(|e| e.to_string())?;
        let mut limits = Limits::default();
        limits.max_alloc = Some(1 << 30); // a gigapixel header in a damaged file must not take all memory
        reader.limits(limits);
        let image = contained(|| reader.decode())?.map_err(|e| e.to_string())?;
        let (width, height) = (image.width() as usize, image.height() as usize);
        let pixels = if channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() };
        Ok(Raw { height, width, channels, pixels })
    }

    fn convert(self, channels: usize) -> Self {
        let pixels = match (self.channels, channels) {
            (1, 3) => self.pixels.iter().flat_map(|&v| [v; 3]).collect(),
            (3, 1) => self.pixels.chunks_exact(3).map(luma).collect(),
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
        let sum = Sha256::new()
            .chain_update(height.to_le_bytes())
            .chain_update(width.to_le_bytes())
            .chain_update(&self.pixels)
            .finalize();
        let mut digest = [0; 16];
        digest.copy_from_slice(&sum[..16]);
        Origin { digest, height, width }
    }

    /// The whole image on a square. The bilinear filter widens when it shrinks, so nothing aliases.
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

/// Rec. 709 luma, as the image decoder weighs it.
fn luma(rgb: &[u8]) -> u8 {
    ((2126 * u32::from(rgb[0]) + 7152 * u32::from(rgb[1]) + 722 * u32::from(rgb[2])) / 10_000) as u8
}

/// Runs `work` for 0..n on every core and hands the results to `take` in order, on the calling thread.
pub fn in_parallel<T: Send>(
    n: usize,
    work: impl Fn(usize, &mut Resizer) -> T + Sync,
    mut take: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    // Chunks keep memory bounded and let the progress callback stay on this thread.
    const CHUNK: usize = 256;
    for start in (0..n).step_by(CHUNK) {
        let range = start..n.min(start + CHUNK);
        let done: Vec<T> = range.into_par_iter().map_init(Resizer::new, |resizer, i| work(i, resizer)).collect();
        for (i, result) in done.into_iter().enumerate() {
            take(start + i, result)?;
        }
    }
    Ok(())
}

/// A file to decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// Its name in the dataset.
    pub name: String,
    /// Its class.
    pub label: u32,
}

/// The image files of a dataset, before decoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// A short name.
    pub name: String,
    /// Class names.
    pub classes: Vec<String>,
    /// Files of train, val, test; none where there is no such split.
    pub files: [Option<Vec<Entry>>; 3],
    /// What a person should know of how they were listed, a line each.
    pub notes: Vec<String>,
}

impl Listing {
    /// What the cache knows these files by: their names, classes, sizes and times of change.
    pub fn key(&self) -> Hasher {
        let mut key = Hasher::new().part("files").part(&self.name);
        self.classes.iter().for_each(|c| key.update(c));
        for (split, entries) in Split::ALL.into_iter().zip(&self.files) {
            for e in entries.iter().flatten() {
                key.update(split.name());
                key.update(&e.name);
                key.update(e.label.to_le_bytes());
                if let Ok(meta) = e.path.metadata() {
                    key.update(meta.len().to_le_bytes());
                    let since = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
                    key.update(since.map_or(0, |d| d.as_nanos()).to_le_bytes());
                }
            }
        }
        key
    }

    /// Decodes every file; those that cannot be are listed with the reason.
    pub fn decode(&self, options: &LoadOptions, progress: &dyn Fn(usize, usize)) -> Result<Source> {
        let total = self.files.iter().flatten().map(Vec::len).sum();
        let mut source = Source {
            name: self.name.clone(),
            classes: self.classes.clone(),
            notes: self.notes.clone(),
            ..Source::default()
        };
        let mut done = 0;
        for (entries, slot) in self.files.iter().zip(&mut source.parts) {
            let Some(entries) = entries else { continue };
            let part = slot.insert(Part::empty(options));
            let one = |i: usize, resizer: &mut Resizer| {
                Raw::open(&entries[i].path, options.channels).map(|raw| raw.store(options, resizer))
            };
            in_parallel(entries.len(), one, |i, result| {
                let entry = &entries[i];
                match result {
                    Ok(stored) => {
                        let (pixels, origin) = stored?;
                        part.push(&pixels, origin, entry.label, entry.name.clone());
                    }
                    Err(reason) => source.unreadable.push(format!("{}: {reason}", entry.path.display())),
                }
                done += 1;
                progress(done, total);
                Ok(())
            })?;
        }
        Ok(source)
    }
}

/// Image `i` as a PNG file, for reports.
pub fn png(images: &Images, i: usize) -> Result<Vec<u8>> {
    let color = if images.channels == 1 { image::ExtendedColorType::L8 } else { image::ExtendedColorType::Rgb8 };
    let mut out = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut out);
    image::ImageEncoder::write_image(encoder, images.image(i), images.width as u32, images.height as u32, color)
        .map_err(|e| Error::Failed(format!("a PNG could not be written: {e}")))?;
    Ok(out)
}
