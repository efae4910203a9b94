//! How much memory the decoded images of a dataset may take. They are all held at once, so this is the one place that refuses
//! a set for its size, before an image is decoded.

use crate::base::{Error, Result};
use crate::data::LoadOptions;

/// The default for the most bytes of all decoded images of a dataset.
pub const MAX_BYTES: u64 = 4 << 30;

/// Refuses `images` images of the data `spec` that would take more than [`LoadOptions::max_bytes`] at the size that they are
/// stored in.
pub(super) fn check(spec: &str, images: usize, options: &LoadOptions) -> Result<()> {
    let LoadOptions { store_size: size, channels, max_bytes, .. } = *options;
    let (stride, images) = ((size * size * channels) as u64, images as u64);
    let bytes = images.saturating_mul(stride);
    if bytes <= max_bytes {
        return Ok(());
    }
    Err(Error::Data(format!(
        "{spec} has {images} images, which decoded to {size} × {size} × {channels} bytes are {bytes} bytes, over the limit of \
         {max_bytes}; lower data.store_size (--store-size of data inspect), or data.max_bytes (--max-bytes) raises the limit if \
         there is memory for twice as much; of this size, {} images fit",
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
        for part in ["1000224 images", "1024 × 1024 × 1", "4096 images fit", "data.store_size", "data.max_bytes"] {
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
