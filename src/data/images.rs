//! The decoded images of a split: their sizes, labels and names, and their pixels, in memory or in pages on disk.

use super::pages::Paged;
use crate::base::Result;
use crate::base::hash::Hasher;
use std::borrow::Cow;
use std::ops::Range;

/// The decoded images of one split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// Rows of one image.
    pub height: usize,
    /// Columns of one image.
    pub width: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
    /// The pixels: N × H × W × C bytes.
    pub pixels: Pixels,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// The path of each image relative to the root. Without files, its place, for example "train/17".
    pub names: Vec<String>,
}

/// Where pixels are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// All of them in memory, image after image.
    Memory(Vec<u8>),
    /// On disk, a page for each image: of a set that memory is not to hold.
    Pages(Paged),
}

impl Default for Pixels {
    fn default() -> Self {
        Pixels::Memory(Vec::new())
    }
}

impl From<Vec<u8>> for Pixels {
    fn from(bytes: Vec<u8>) -> Self {
        Pixels::Memory(bytes)
    }
}

/// Bytes of pixels that are read from disk at a time where all of them are gone through.
const AT_ONCE: usize = 32 << 20;

impl Images {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of one image.
    pub fn stride(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The bytes of image `i`. Reading a page may fail.
    pub fn image(&self, i: usize) -> Result<Cow<'_, [u8]>> {
        self.bytes(i..i + 1)
    }

    /// The bytes of some images, one after the other.
    pub fn bytes(&self, images: Range<usize>) -> Result<Cow<'_, [u8]>> {
        let stride = self.stride();
        match &self.pixels {
            Pixels::Memory(all) => Ok(Cow::Borrowed(&all[images.start * stride..images.end * stride])),
            Pixels::Pages(pages) => {
                let which: Vec<u32> = images.map(|i| i as u32).collect();
                Ok(Cow::Owned(pages.read(&which, stride)?))
            }
        }
    }

    /// The bytes of all images: for a few.
    pub fn all(&self) -> Result<Cow<'_, [u8]>> {
        self.bytes(0..self.len())
    }

    /// Shows the bytes of all images in order, whole images at a time.
    pub fn each(&self, mut look: impl FnMut(&[u8])) -> Result<()> {
        let some = (AT_ONCE / self.stride().max(1)).max(1);
        (0..self.len()).step_by(some).try_for_each(|start| {
            look(&self.bytes(start..self.len().min(start + some))?);
            Ok(())
        })
    }

    /// The pages of images that are not in memory.
    pub fn pages(&self) -> Option<&Paged> {
        match &self.pixels {
            Pixels::Memory(_) => None,
            Pixels::Pages(pages) => Some(pages),
        }
    }

    /// How many images each of `classes` classes has.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(c) = counts.get_mut(label as usize) {
                *c += 1;
            }
        }
        counts
    }

    /// The hash of sizes and pixels in order. Learning without labels depends on nothing else in the data.
    pub fn fingerprint(&self) -> Result<String> {
        let dims = [self.len(), self.height, self.width, self.channels];
        let mut sized =
            dims.iter().fold(Hasher::new().part("wgslab images 1"), |h, d| h.part((*d as u64).to_le_bytes()));
        self.hash(&mut sized)?;
        Ok(sized.hex())
    }

    /// Adds all pixels to a hash as one part.
    pub(super) fn hash(&self, hasher: &mut Hasher) -> Result<()> {
        hasher.begin((self.len() * self.stride()) as u64);
        self.each(|bytes| hasher.more(bytes))
    }

    /// Mean and standard deviation of each channel, with pixels as fractions of 255. Zeros if there are no images.
    pub fn statistics(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let channels = self.channels.max(1);
        // Integer sums are exact, so the result does not depend on how the work is divided.
        let mut sums = vec![(0u64, 0u64); channels];
        self.each(|bytes| {
            for pixel in bytes.chunks_exact(channels) {
                for (s, &v) in sums.iter_mut().zip(pixel) {
                    s.0 += u64::from(v);
                    s.1 += u64::from(v) * u64::from(v);
                }
            }
        })?;
        let n = (self.len() * self.stride() / channels).max(1) as f64;
        let moments = sums.iter().map(|&(sum, squares)| {
            let mean = sum as f64 / n;
            ((mean / 255.0) as f32, ((squares as f64 / n - mean * mean).max(0.0).sqrt() / 255.0) as f32)
        });
        Ok(moments.unzip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_pixels_alone() {
        let images = |pixels: [u8; 2], labels: [u32; 2]| Images {
            height: 1,
            width: 1,
            channels: 1,
            pixels: pixels.to_vec().into(),
            labels: labels.into(),
            names: vec!["a".into(), "b".into()],
        };
        let one = images([1, 2], [0, 1]);
        let of = |images: &Images| images.fingerprint().unwrap();
        assert_eq!(of(&one), of(&Images { names: Vec::new(), ..images([1, 2], [1, 0]) }));
        assert_ne!(of(&one), of(&images([2, 1], [0, 1])));
        assert_ne!(of(&one), of(&Images { width: 2, labels: vec![0], ..one.clone() }));
        let dims = [2u64, 1, 1, 1].map(u64::to_le_bytes);
        let whole = dims.iter().fold(Hasher::new().part("wgslab images 1"), |h, d| h.part(d)).part([1, 2]);
        assert_eq!(of(&one), whole.hex(), "pixels in parts are the pixels");
    }

    #[test]
    fn statistics_are_per_channel() {
        let images = Images {
            height: 1,
            width: 2,
            channels: 3,
            pixels: vec![0, 255, 51, 255, 255, 51].into(),
            labels: vec![0],
            names: vec!["a".into()],
        };
        let (mean, std) = images.statistics().unwrap();
        assert_eq!(mean, [0.5, 1.0, 0.2]);
        assert_eq!(std, [0.5, 0.0, 0.0]);
        assert_eq!(Images::default().statistics().unwrap().0, [0.0]);
    }
}
