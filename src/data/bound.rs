//! How much room the decoded images of a dataset may take. This is the one place that decides, before an image is decoded,
//! whether a set is held in memory, kept in pages on disk, or refused.

use crate::base::{Error, Result};
use crate::data::{LoadOptions, Paging};
use crate::tape::demand::size;

/// The default for the most bytes of all decoded images of a dataset that may be kept in pages on disk.
pub const MAX_BYTES: u64 = 64 << 30;

/// The default for the most bytes of decoded images that are held in memory and on the device. Without [`Paging`] it is the
/// most that are read at all.
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
        "its {images} decoded images are {}, more than memory is to hold ({}, the smaller of data.resident_bytes and half of \
         --memory-budget): they stream from pages on disk, to the same results",
        size(bytes),
        size(most)
    )
}

/// Refuses `images` images of the data `spec` that would take more than [`LoadOptions::max_bytes`] at the size that they are
/// stored in, or more than [`RESIDENT_BYTES`] where there are no pages to keep them in.
pub(super) fn check(spec: &str, images: usize, options: &LoadOptions) -> Result<()> {
    let LoadOptions { store_size: size, channels, max_bytes, .. } = *options;
    let (stride, bytes) = (bytes_of(1, options), bytes_of(images, options));
    let limit = if options.paging.is_some() { max_bytes } else { max_bytes.min(RESIDENT_BYTES) };
    if bytes <= limit {
        return Ok(());
    }
    let way_out = match limit == max_bytes {
        true => {
            "lower data.store_size or, as they stream from pages on disk if memory is not to hold them, raise data.max_bytes if \
             the disk has room (`data inspect` has --store-size and --max-bytes, too)"
        }
        false => {
            "lower store_size, or give LoadOptions::paging: then they stream from pages on disk, and max_bytes is the limit"
        }
    };
    Err(Error::Data(format!(
        "{spec} has {images} images, which decoded to {size} × {size} × {channels} bytes are {bytes} bytes, over the limit of \
         {limit}; {way_out}; of this size, {} images fit",
        limit / stride
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
        for part in ["1000224 images", "1024 × 1024 × 1", "4096 images fit", "LoadOptions::paging", "pages on disk"] {
            assert!(said.contains(part), "{said}");
        }
        let paging = Some(Paging { resident_bytes: RESIDENT_BYTES, folder: Path::new("").to_path_buf() });
        let paged = LoadOptions { store_size: 1024, paging, ..options(Path::new(""), 1) };
        let said = complaint(load("phantom:covid?train=1000000", &paged, &NEVER));
        for part in ["65536 images fit", "data.store_size", "data.max_bytes", "stream from pages on disk"] {
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
