//! Images on the device. The bytes of a split are packed four to a word and kept in pages. A page is no larger than one
//! binding of the adapter and holds whole images; each image begins at a whole word. A step then sends indices, never
//! pixels.
//!
//! Of a split that memory is not to hold, whose images lie in pages on disk, the device holds those of a step. They are inputs
//! of the step, in the order of its input `indices`, and its ops find them there by their index. So nothing else of a step
//! knows of it, and its bits are the same.

use super::ahead::Ahead;
use super::pages::Paged;
use crate::base::{Error, Result};
use crate::device::Gpu;
use crate::tape::{Feed, State, Tape, Type, Var};
use std::ops::Range;

/// The most bytes of a page. Larger pages would save few launches, and packing needs a copy of the page.
const PAGE_BYTES: u64 = 256 << 20;

/// The input of a step that says which images it takes.
const INDICES: &str = "indices";

/// A split's images, kept in a [`State`] as `images/<name>/<page>`, or streamed through inputs of these names. This type holds
/// only names and sizes.
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
    /// Where images are read from that the device does not hold.
    pub streamed: Option<Paged>,
}

/// The images of a step on a tape.
pub struct OnTape {
    /// The pages.
    pub pages: Vec<Var>,
    /// The index of each image in the pages; none where they hold all.
    pub held: Option<Var>,
}

/// The images of a step, read for it.
pub struct Step<'a> {
    store: &'a ImageStore,
    names: Vec<String>,
    bytes: Vec<u8>,
}

/// Steps whose images are read ahead of the device; nothing where it holds all images.
pub struct Steps<'a> {
    store: &'a ImageStore,
    ahead: Option<Ahead>,
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
        let store = ImageStore::sized(gpu, name, pixels.len(), [size, channels], page_bytes)?;
        let (images_per_page, stride) = (store.images_per_page, size * size * channels);
        let words = stride.div_ceil(4);
        for (i, images) in pixels.chunks(images_per_page * stride).enumerate() {
            let (page, ty) = (store.page_name(i), store.page_type(i, store.count));
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

    /// `count` images of size × size × channels bytes whose pages are on disk: nothing is uploaded. `page_bytes` as for
    /// [`ImageStore::upload`].
    pub fn streaming(
        gpu: &Gpu,
        name: &str,
        (pages, count): (&Paged, usize),
        [size, channels]: [usize; 2],
        page_bytes: Option<u64>,
    ) -> Result<ImageStore> {
        let store = ImageStore::sized(gpu, name, count * size * size * channels, [size, channels], page_bytes)?;
        Ok(ImageStore { streamed: Some(pages.clone()), ..store })
    }

    /// A store of so many bytes of images.
    fn sized(
        gpu: &Gpu,
        name: &str,
        bytes: usize,
        [size, channels]: [usize; 2],
        page_bytes: Option<u64>,
    ) -> Result<ImageStore> {
        let stride = size * size * channels;
        if stride == 0 || bytes == 0 || !bytes.is_multiple_of(stride) {
            return Err(Error::Data(format!(
                "{name}: {bytes} bytes are not a whole number of images of {size} × {size} × {channels} bytes, or none"
            )));
        }
        let limit = page_bytes.unwrap_or(PAGE_BYTES).min(gpu.caps().binding_bytes) / 16 * 16;
        let images_per_page = (limit / (4 * stride.div_ceil(4) as u64)) as usize;
        if images_per_page == 0 {
            return Err(Error::Data(format!(
                "{name}: an image of {size} × {size} × {channels} bytes does not fit a page of {limit} bytes; \
                 use a smaller store_size"
            )));
        }
        let count = bytes / stride;
        let images_per_page = images_per_page.min(count);
        let pages = count.div_ceil(images_per_page);
        let name = name.to_string();
        Ok(ImageStore { name, count, size, channels, images_per_page, pages, streamed: None })
    }

    /// The same store with all images on the device: what a step's bits depend on.
    pub fn resident(&self) -> ImageStore {
        ImageStore { streamed: None, ..self.clone() }
    }

    /// The images of a step as values of a tape. Where they are streamed, the tape has its input `indices` before.
    pub fn on_tape(&self, t: &mut Tape) -> Result<OnTape> {
        if self.streamed.is_none() {
            let pages = (0..self.pages).map(|i| t.state(&self.page_name(i), self.page_type(i, self.count)));
            return Ok(OnTape { pages: pages.collect::<Result<_>>()?, held: None });
        }
        let held = t.known_input(INDICES).ok_or_else(|| {
            Error::Failed(format!("a step on streamed images says which by its input {INDICES}; record that first"))
        })?;
        let images = t.shape(held).vector("streamed images", INDICES)?;
        let page = |i: usize| {
            let name = self.page_name(i);
            t.known_input(&name).map_or_else(|| t.input(&name, self.page_type(i, images)), Ok)
        };
        let pages = (0..images.div_ceil(self.images_per_page)).map(page).collect::<Result<_>>()?;
        Ok(OnTape { pages, held: Some(held) })
    }

    /// Begins to read the images of `steps`, where they are streamed.
    pub fn steps(&self, steps: impl Iterator<Item = Vec<u32>>) -> Result<Steps<'_>> {
        let ahead = self.streamed.as_ref().map(|pages| Ahead::new(pages, self.spaced(), steps.collect()));
        Ok(Steps { store: self, ahead: ahead.transpose()? })
    }

    /// Bytes of an image on the device.
    fn spaced(&self) -> usize {
        (self.size * self.size * self.channels).div_ceil(4) * 4
    }

    fn page_name(&self, page: usize) -> String {
        format!("images/{}/{page}", self.name)
    }

    /// The type of a page of those that hold so many images.
    fn page_type(&self, page: usize, count: usize) -> Type {
        let images = self.images_per_page.min(count - page * self.images_per_page);
        Type::u32([images * self.spaced() / 4])
    }
}

impl<'a> Steps<'a> {
    /// The images of the next step; none where the device holds all. `say` is told of pages that were damaged.
    pub fn next(&self, say: &dyn Fn(&str)) -> Result<Option<Step<'a>>> {
        let Some(ahead) = &self.ahead else { return Ok(None) };
        let (store, bytes) = (self.store, ahead.next()?);
        store.streamed.iter().flat_map(Paged::notes).for_each(|note| say(&note));
        let images = bytes.len() / store.spaced();
        let names = (0..images.div_ceil(store.images_per_page)).map(|i| store.page_name(i)).collect();
        Ok(Some(Step { store, names, bytes }))
    }
}

impl Step<'_> {
    /// Adds to the feed of a plan that sees `images` of the step's what it takes of them: the inputs that are `named`.
    pub fn feed<'a>(&'a self, feed: &mut Feed<'a>, images: Range<usize>, named: &dyn Fn(&str) -> bool) {
        let spaced = self.store.spaced();
        let pages = self.bytes[images.start * spaced..images.end * spaced].chunks(self.store.images_per_page * spaced);
        feed.inputs.extend(self.names.iter().map(String::as_str).zip(pages).filter(|(name, _)| named(name)));
    }
}
