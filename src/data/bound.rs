//! How much room the decoded images of a dataset may take. This is the one place that decides, before an image is decoded,
//! whether a set is held in memory, kept in pages on disk, or refused.

use crate::base::{Error, Result};
use crate::data::{LoadOptions, Paging};
use crate::tape::demand::size;

/// The default for the most bytes of all decoded images of a dataset.
pub const MAX_BYTES: u64 = 64 << 30;

/// The default for the most bytes of decoded images that are held in memory and on the device.
pub const RESIDENT_BYTES: u64 = 4 << 30;

/// Bytes of so many decoded images.
fn bytes_of(images: usize, options: &LoadOptions) -> u64 {
    (images as u64).saturating_mul((options.store_size * options.store_size * options.channels) as u64)
}

/// How a set of so many images is kept in pages; none where memory holds it.
pub(super) fn paging(images: usize, options: &LoadOptions) -> Option<&Paging> {
    options.paging.as_ref().filter(|p| bytes_of(images, options) > p.resident_bytes)
}

/// Says that a set of so many images is kept in pages, and what of the disk it takes.
pub(super) fn note(images: usize, options: &LoadOptions) -> String {
    let (bytes, most) = (bytes_of(images, options), options.paging.as_ref().map_or(0, |p| p.resident_bytes));
    format!(
        "its {images} decoded images are {}, more than data.resident_bytes holds in memory ({}): they stream from pages on disk, \
         to the same results",
        size(bytes),
        size(most)
    )
}

/// Refuses `images` images of the data `spec` that would take more than [`LoadOptions::max_bytes`] at the size that they are
/// stored in.
pub(super) fn check(spec: &str, images: usize, options: &LoadOptions) -> Result<()> {
    let LoadOptions { store_size: size, channels, max_bytes, .. } = *options;
    let (stride, bytes) = (bytes_of(1, options), bytes_of(images, options));
    if bytes <= max_bytes {
        return Ok(());
    }
    Err(Error::Data(format!(
        "{spec} has {images} images, which decoded to {size} × {size} × {channels} bytes are {bytes} bytes, over the limit of \
         {max_bytes}; lower data.store_size (--store-size of data inspect), or data.max_bytes (--max-bytes) raises the limit if \
         the disk has room for them; of this size, {} images fit",
        max_bytes / stride
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{class_tree, complaint, options};
    use crate::data::{Need, Summary, inspect, load};
    use std::path::Path;

    const NEVER: fn(usize, usize) = |_, _| panic!("an image was decoded");

    #[test]
    fn more_phantoms_than_memory_bears_are_refused_before_one_is_made() {
        let refused = |spec: &str, store_size: usize, channels: usize| {
            let options = LoadOptions { store_size, ..options(Path::new(""), channels) };
            let said = complaint(load(spec, &options, &NEVER));
            assert_eq!(said, complaint(crate::data::check(spec, &options, Need::Training)));
            said
        };
        let said = refused("phantom:covid?train=1000000", 1024, 1);
        for part in ["1000224 images", "1024 × 1024 × 1", "65536 images fit", "data.store_size", "data.max_bytes"] {
            assert!(said.contains(part), "{said}");
        }
        // The largest numbers that a SPEC may have.
        refused("phantom:covid?train=1000000&val=1000000&test=1000000", 2048, 3);
    }

    #[test]
    fn files_are_refused_by_their_number_before_one_is_decoded() {
        let dir = tempfile::tempdir().unwrap();
        class_tree(&dir.path().join("train"), &["a", "b"], "", 20, "png");
        class_tree(&dir.path().join("test"), &["a", "b"], "", 10, "png");
        // 60 images of 8 × 8 bytes.
        let with = |max_bytes| LoadOptions { max_bytes, ..options(Path::new(""), 1) };
        let spec = dir.path().to_str().unwrap();
        let said = complaint(load(spec, &with(3839), &NEVER));
        assert!(said.contains("60 images") && said.contains("3840 bytes") && said.contains("59 images fit"), "{said}");
        let of = |inspected: Result<Summary>| inspected.err().map(|e| e.to_string());
        assert_eq!(of(inspect(spec, &with(3839))), Some(said));
        assert!(load(spec, &with(3840), &|_, _| ()).is_ok());
    }
}
