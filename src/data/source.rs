//! What a reader makes of the files: the splits as they stand there, before a dataset is made of them.

use super::decode::PixelForm;
use super::layout::Found;
use super::pages::{Keep, PageFile, Paged, path_of};
use super::{Images, LeftOut, LoadOptions, Pixels};
use crate::base::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The split that an image belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// The images to learn from.
    Train,
    /// The images that choose among settings.
    Val,
    /// The images that results are reported on.
    Test,
}

impl Split {
    /// The splits, in the order of [`DecodedData::parts`].
    pub const ALL: [Split; 3] = [Split::Train, Split::Val, Split::Test];

    /// The name used in messages, files and image names.
    pub fn name(self) -> &'static str {
        ["train", "val", "test"][self as usize]
    }

    /// The split that a folder or a manifest names by `text`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Split::Train),
            "val" | "valid" | "validation" => Some(Split::Val),
            "test" | "testing" => Some(Split::Test),
            _ => None,
        }
    }
}

/// What is known about an image besides its stored pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The digest of size and pixels before resizing. Equal digests mean the same picture.
    pub digest: [u8; 16],
    /// Rows before resizing.
    pub height: u32,
    /// Columns before resizing.
    pub width: u32,
}

/// One split as read, before duplicates are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The decoded images.
    pub images: Images,
    /// The origin of each image.
    pub origins: Vec<Origin>,
    /// The group of each image, for example its patient. Splits never divide a group. Empty if the data has no groups.
    pub groups: Vec<Option<String>>,
}

impl Part {
    /// A part without images of the shape that `options` ask for.
    pub fn empty(options: &LoadOptions) -> Self {
        let (size, channels) = (options.store_size, options.channels);
        let images = Images { height: size, width: size, channels, ..Images::default() };
        Part { images, ..Part::default() }
    }

    /// The same for the images of `split` that a reader decodes, which go where `keep` says.
    pub fn begin(options: &LoadOptions, split: Split, keep: Keep<'_>) -> Result<Self> {
        let mut part = Part::empty(options);
        if let Keep::Pages(stem) = keep {
            let file = PageFile::create(path_of(stem, split), part.images.stride())?;
            part.images.pixels = Pixels::Pages(Paged::new(file));
        }
        Ok(part)
    }

    /// Adds one image. A page of it may have no room on the disk.
    pub fn push(&mut self, pixels: &[u8], origin: Origin, label: u32, name: String) -> Result<()> {
        match &mut self.images.pixels {
            Pixels::Memory(all) => all.extend_from_slice(pixels),
            Pixels::Pages(pages) => pages.push(pixels)?,
        }
        self.images.labels.push(label);
        self.images.names.push(name);
        self.origins.push(origin);
        Ok(())
    }

    /// The images at `indices`, in that order.
    pub fn select(&self, indices: impl IntoIterator<Item = usize>) -> Self {
        let (&Images { height, width, channels, .. }, indices) =
            (&self.images, indices.into_iter().collect::<Vec<usize>>());
        let stride = self.images.stride();
        let pixels = match &self.images.pixels {
            Pixels::Memory(all) => {
                let mut some = Vec::with_capacity(indices.len() * stride);
                indices.iter().for_each(|&i| some.extend_from_slice(&all[i * stride..(i + 1) * stride]));
                Pixels::Memory(some)
            }
            Pixels::Pages(pages) => Pixels::Pages(pages.select(indices.iter().copied())),
        };
        let labels = indices.iter().map(|&i| self.images.labels[i]).collect();
        let names = indices.iter().map(|&i| self.images.names[i].clone()).collect();
        Part {
            images: Images { height, width, channels, pixels, labels, names },
            origins: indices.iter().map(|&i| self.origins[i]).collect(),
            groups: indices.iter().filter_map(|&i| self.groups.get(i).cloned()).collect(),
        }
    }
}

/// The result of a reader: the splits as the files have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecodedData {
    /// A short name.
    pub name: String,
    /// Class names.
    pub classes: Vec<String>,
    /// Train, val and test. None if the files have no such split.
    pub parts: [Option<Part>; 3],
    /// Files that could not be decoded.
    pub unreadable: Vec<LeftOut>,
    /// How many files of each ending were found but are not read.
    pub unread: BTreeMap<String, usize>,
    /// Notes for the user on how the files were read, one for each line.
    pub notes: Vec<String>,
    /// How many pictures of each split have which form. The cache of decoded images does not keep it.
    pub forms: [BTreeMap<PixelForm, usize>; 3],
}

impl DecodedData {
    /// The splits that there are, with their images.
    pub fn parts_with_images(&self) -> impl Iterator<Item = (Split, &Images)> {
        Split::ALL.into_iter().zip(&self.parts).filter_map(|(split, part)| Some((split, &part.as_ref()?.images)))
    }

    /// Tells the page files, if there are any, what their pages were decoded from.
    pub(super) fn tell_pages(&self, found: &Arc<dyn Found>, options: &LoadOptions) {
        for (split, images) in self.parts_with_images() {
            if let Some(pages) = images.pages() {
                let (found, options, left_out) = (found.clone(), options.clone(), self.unreadable.clone());
                pages.file().decoded_by(Box::new(move |i, take| found.again(&options, (split, i), &left_out, take)));
            }
        }
    }

    /// Puts the notes of the listing before the notes of the decoding.
    pub(super) fn noting(mut self, listed: Vec<String>) -> Self {
        self.notes.splice(0..0, listed);
        self
    }
}
