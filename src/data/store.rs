//! Images on the device. The bytes of a split are packed four to a word and kept in pages. A page is no larger than one
//! binding of the adapter and holds whole images; each image begins at a whole word. A step then sends indices, never
//! pixels.

use crate::base::{Error, Result};
use crate::device::Gpu;
use crate::tape::{State, Tape, Type, Var};

/// The most bytes of a page. Larger pages would save few launches, and packing needs a copy of the page.
const PAGE_BYTES: u64 = 256 << 20;

/// A split's images, kept in a [`State`] as `images/<name>/<page>`. This type holds only names and sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStore {
    /// The name of the split.
    pub name: String,
    /// The number of images.
    pub count: usize,
    /// Rows and columns of each.
    pub size: usize,
    /// The number of channels: 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
    /// The images of each page; the last page may have fewer.
    pub images_per_page: usize,
    /// The number of pages.
    pub pages: usize,
}

impl ImageStore {
    /// Uploads images of size × size × channels bytes, one after the other. A page has at most `page_bytes` bytes, and
    /// at most what the adapter binds.
    pub fn upload(
        gpu: &Gpu,
        state: &mut State,
        name: &str,
        pixels: &[u8],
        [size, channels]: [usize; 2],
        page_bytes: Option<u64>,
    ) -> Result<ImageStore> {
        let stride = size * size * channels;
        if stride == 0 || pixels.is_empty() || !pixels.len().is_multiple_of(stride) {
            return Err(Error::Data(format!(
                "{name}: {} bytes are not a whole number of images of {size} × {size} × {channels} bytes, or none",
                pixels.len()
            )));
        }
        let words = stride.div_ceil(4);
        let limit = page_bytes.unwrap_or(PAGE_BYTES).min(gpu.caps().binding_bytes) / 16 * 16;
        let images_per_page = (limit / (4 * words as u64)) as usize;
        if images_per_page == 0 {
            return Err(Error::Data(format!(
                "{name}: an image of {size} × {size} × {channels} bytes does not fit a page of {limit} bytes; \
                 use a smaller store_size"
            )));
        }
        let count = pixels.len() / stride;
        let images_per_page = images_per_page.min(count);
        let pages = count.div_ceil(images_per_page);
        let store = ImageStore { name: name.to_string(), count, size, channels, images_per_page, pages };
        for (i, images) in pixels.chunks(images_per_page * stride).enumerate() {
            let (page, ty) = (store.page_name(i), store.page_type(i));
            if stride.is_multiple_of(4) {
                state.insert_resident(gpu, &page, ty, images)?;
                continue;
            }
            let mut packed = vec![0u8; images.len() / stride * words * 4];
            for (to, from) in packed.chunks_exact_mut(words * 4).zip(images.chunks_exact(stride)) {
                to[..stride].copy_from_slice(from);
            }
            state.insert_resident(gpu, &page, ty, &packed)?;
        }
        Ok(store)
    }

    /// The pages as values of a tape.
    pub fn on_tape(&self, t: &mut Tape) -> Result<Vec<Var>> {
        (0..self.pages).map(|i| t.state(&self.page_name(i), self.page_type(i))).collect()
    }

    fn page_name(&self, page: usize) -> String {
        format!("images/{}/{page}", self.name)
    }

    fn page_type(&self, page: usize) -> Type {
        let images = self.images_per_page.min(self.count - page * self.images_per_page);
        Type::u32([images * (self.size * self.size * self.channels).div_ceil(4)])
    }
}
