//! crop_resize: y[b] = a window of image indices[b], mirrored or not, resized to out × out, as fractions of 255.
//!
//! The window is drawn as torchvision's RandomResizedCrop does: up to ten tries of an area and a log-ratio, the first
//! that fits wins, its place is uniform; else the centre. Without a crop the window is the whole image. The filter is
//! bilinear with antialias, as PyTorch's `interpolate`, but nothing is rounded to bytes. Images are bytes and have no
//! gradient. Shaders: shaders/images/crop_resize/.
//!
//! The pages hold all images, image i in place i, or, with `held`, some: an input says which image lies in which place. What
//! is drawn for an image follows its index and not its place, so both give the same bits.

use crate::base::{DType, Error, Result};
use crate::device::{Kernel, Piece, groups_1d};
use crate::kernels::draw::{Draws, with_told};
use crate::kernels::{Case, Fill};
use crate::tape::record::SCALARS;
use crate::tape::{Cost, Emit, Op, Slot, Tape, Type, Var};
use crate::{params, piece};

/// How a window is drawn.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct RandomCrop {
    /// Where the draws come from.
    pub draws: Draws,
    /// Least and greatest area, as fractions of the image.
    pub scale: [f32; 2],
    /// Least and greatest width / height.
    pub ratio: [f32; 2],
    /// Probability of a mirror image.
    pub flip: f32,
}

/// Inputs: indices u32 [B], one or more pages u32 [..] of packed images, with a crop the scalars, and, with `held`, the index of
/// each image in the pages, u32 [images]. Output: f32 [views · B, channels, out, out], view v of image b in row v · B + b.
/// Every index of a step must be held: of one that is not, the output means nothing.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CropResize {
    /// How the window is drawn; the whole image when `None`.
    pub crop: Option<RandomCrop>,
    /// How many views are made of each image, one below the other: 1, or with a crop 2, the second as the view after that of the
    /// crop's draws.
    pub views: u32,
    /// Rows and columns of a stored image.
    pub size: u32,
    /// 1 or 3.
    pub channels: u32,
    /// Rows and columns of the output.
    pub out: u32,
    /// Images of each page but the last.
    pub images_per_page: u32,
    /// Whether a second output tells the window that was drawn for each sample: f32 [B, columns of [`TOLD`]].
    pub told: bool,
    /// Whether the pages hold only some images, which an input names.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

/// What a told op tells of a sample, and in how many columns: left, top, width and height of the window in stored pixels, and
/// whether it was mirrored.
pub const TOLD: [(&str, usize); 2] = [("crop", 4), ("flip", 1)];

params! {
    struct Params {
        seed_low: u32, seed_high: u32, stream: u32, epoch: u32,
        scale_low: f32, scale_high: f32, log_ratio_low: f32, log_ratio_high: f32, flip: f32,
        batch: u32, images: u32, page: u32, images_per_page: u32, count: u32, words: u32, size: u32, out: u32, chunks: u32,
    }
}

const RANDOM: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/rng.wgsl"),
    piece!("common/draw.wgsl"),
    piece!("common/triangle.wgsl"),
    piece!("images/crop_resize/random.wgsl"),
    piece!("images/crop_resize/forward.wgsl"),
];
const WHOLE: &[Piece] = &[
    piece!("common/index.wgsl"),
    piece!("common/triangle.wgsl"),
    piece!("images/crop_resize/whole.wgsl"),
    piece!("images/crop_resize/forward.wgsl"),
];

/// Output pixels a workgroup owns.
const CHUNK: usize = 1024;

impl Tape {
    /// Windows of the images at `indices` in `pages`; `scalars` holds the epoch and is needed with a random crop.
    pub fn crop_resize(&mut self, op: CropResize, indices: Var, pages: &[Var], scalars: Option<Var>) -> Result<Var> {
        let inputs: Vec<Var> = [indices].into_iter().chain(pages.iter().copied()).chain(scalars).collect();
        self.apply1(op, &inputs)
    }
}

impl CropResize {
    /// Words of one stored image.
    pub fn words(&self) -> usize {
        (self.size as usize * self.size as usize * self.channels as usize).div_ceil(4)
    }

    /// How many of the inputs are pages.
    fn pages(&self, x: &[Type]) -> usize {
        x.len().saturating_sub(1 + usize::from(self.crop.is_some()) + usize::from(self.held))
    }

    /// How many images the pages hold.
    fn count(&self, x: &[Type]) -> usize {
        let pages = self.pages(x);
        (pages - 1) * self.images_per_page as usize + x[pages].shape.numel() / self.words()
    }

    fn params(&self, x: &[Type], y: &[Type]) -> Params {
        let mut p: Params = bytemuck::Zeroable::zeroed();
        if let Some(c) = &self.crop {
            [p.seed_low, p.seed_high] = c.draws.key();
            (p.stream, p.epoch) = (c.draws.counter(), c.draws.epoch);
            [p.scale_low, p.scale_high] = c.scale;
            [p.log_ratio_low, p.log_ratio_high] = c.ratio.map(f32::ln);
            p.flip = c.flip;
        }
        (p.batch, p.images) = (y[0].shape.dim(0) as u32, x[0].shape.dim(0) as u32);
        (p.images_per_page, p.count, p.words) = (self.images_per_page, self.count(x) as u32, self.words() as u32);
        (p.size, p.out, p.chunks) =
            (self.size, self.out, (self.out as usize * self.out as usize).div_ceil(CHUNK) as u32);
        p
    }
}

impl Op for CropResize {
    fn name(&self) -> &'static str {
        "crop_resize"
    }

    fn infer(&self, x: &[Type]) -> Result<Vec<Type>> {
        let bad = |what: String| Err(Error::shape("crop_resize", what));
        let (pages, words) = (self.pages(x), self.words());
        if pages == 0 {
            return bad(
                "needs indices, a page at least, with a random crop the scalars, and the images that are held".into()
            );
        }
        if !matches!(self.channels, 1 | 3) || self.size == 0 || self.out == 0 || self.images_per_page == 0 {
            return bad(format!("{self:?} must have 1 or 3 channels, and no size of 0"));
        }
        if !(1..=1 + u32::from(self.crop.is_some())).contains(&self.views) {
            return bad(format!("makes {} views; it makes one, or two with a random crop", self.views));
        }
        x[0].expect_dtype("crop_resize", "indices", DType::U32)?;
        let batch = x[0].shape.vector("crop_resize", "indices")?;
        for (i, page) in x[1..=pages].iter().enumerate() {
            page.expect_dtype("crop_resize", "a page", DType::U32)?;
            let (have, full) = (page.shape.numel(), self.images_per_page as usize * words);
            if have == 0 || have % words != 0 || have > full || (i + 1 < pages && have != full) {
                return bad(format!("page {i} is {page}; an image is {words} words and a full page {full}"));
            }
        }
        if let Some(c) = &self.crop {
            c.draws.after(self.views - 1).check("crop_resize", x[pages + 1])?;
            let ([low, high], [thin, wide]) = (c.scale, c.ratio);
            if !(0.0 < low && low <= high && high <= 1.0 && 0.0 < thin && thin <= wide && wide.is_finite()) {
                return bad(format!(
                    "scale {:?} must lie in (0, 1] and ratio {:?} be positive, low first",
                    c.scale, c.ratio
                ));
            }
        }
        if let Some(&held) = x.last().filter(|_| self.held) {
            held.expect_dtype("crop_resize", "held", DType::U32)?;
            let (named, count) = (held.shape.vector("crop_resize", "held")?, self.count(x));
            if named != count {
                return bad(format!("{named} held images are named, and the pages have {count}"));
            }
        }
        if self.told && self.crop.is_none() {
            return bad("tells what was drawn, and nothing is; give it a random crop".into());
        }
        let y = Type::f32([self.views as usize * batch, self.channels as usize, self.out as usize, self.out as usize]);
        Ok(with_told(y, self.told.then_some(&TOLD[..])))
    }

    fn emit(&self, e: &mut Emit<'_>) -> Result<()> {
        let (pages, mut params) = (self.pages(e.x), self.params(e.x, e.y));
        let (name, pieces) = match self.crop {
            Some(_) => ("crop_resize.random", RANDOM),
            None => ("crop_resize.whole", WHOLE),
        };
        let grid = groups_1d(params.batch as usize * params.chunks as usize);
        for page in 0..pages {
            params.page = page as u32;
            let mut buffers = vec![Slot::In(0), Slot::In(1 + page), Slot::Out(0)];
            buffers.extend(self.crop.map(|_| Slot::In(1 + pages)));
            buffers.extend(self.told.then_some(Slot::Out(1)));
            let at = buffers.len() as u32 + 1;
            buffers.extend(self.held.then_some(Slot::In(e.x.len() - 1)));
            let kernel = Kernel::new(name, "portable", pieces).with("C", self.channels);
            let kernel = kernel.with("TOLD", u32::from(self.told)).with("HELD", u32::from(self.held)).with("AT", at);
            e.launch(kernel, &buffers, &params, grid);
        }
        Ok(())
    }

    fn grad(&self, _t: &mut Tape, x: &[Var], _y: &[Var], _dy: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; x.len()])
    }

    fn cost(&self, x: &[Type], y: &[Type]) -> Cost {
        // Four taps of a multiply and an add where nothing shrinks.
        let read = (self.views as usize * x[0].shape.numel() * self.words() * 4) as u64;
        Cost { flops: 8 * y[0].shape.numel() as u64, bytes: read + y[0].bytes() }
    }
}

/// Named cases.
pub fn cases() -> Vec<Case> {
    let case = |name,
                (crop, views, told): (Option<RandomCrop>, u32, bool),
                batch: usize,
                [size, channels, out]: [u32; 3],
                pages: [usize; 2]| {
        let [count, images_per_page] = pages;
        let op =
            CropResize { crop, views, size, channels, out, images_per_page: images_per_page as u32, told, held: false };
        // One index past the end now and then: it must be clamped, not read.
        let mut inputs = vec![(Type::u32([batch]), Fill::Below(count as u32 + 1))];
        for first in (0..count).step_by(images_per_page) {
            let images = images_per_page.min(count - first);
            inputs.push((Type::u32([images * op.words()]), Fill::Bytes));
        }
        if crop.is_some() {
            inputs.push((Type::f32([SCALARS]), Fill::Values(vec![3.0])));
        }
        Case::new(name, op, inputs)
    };
    let draws = |view| Draws { seed: 0x1234_5678_9abc, stream: 7, view, epoch: 2 };
    let crop = |view, scale| Some(RandomCrop { draws: draws(view), scale, ratio: [0.75, 4.0 / 3.0], flip: 0.5 });
    // No window of this ratio and area fits, so every sample takes the fallback.
    let thin = Some(RandomCrop { draws: draws(0), scale: [1.0, 1.0], ratio: [0.4, 0.5], flip: 0.0 });
    vec![
        case("one pixel", (None, 1, false), 1, [1, 1, 1], [1, 1]),
        case("whole, copied", (None, 1, false), 5, [9, 3, 9], [4, 4]),
        case("whole, smaller", (None, 1, false), 3, [13, 3, 5], [3, 3]),
        case("whole, larger, three pages", (None, 1, false), 7, [5, 1, 11], [5, 2]),
        case("crops in colour, three pages", (crop(0, [0.2, 1.0]), 1, true), 13, [17, 3, 16], [7, 3]),
        case("crops in gray", (crop(1, [0.08, 1.0]), 1, false), 9, [28, 1, 33], [4, 4]),
        case("crops that shrink", (crop(2, [0.5, 1.0]), 1, false), 4, [37, 3, 7], [4, 4]),
        case("two views, two pages", (crop(4, [0.2, 1.0]), 2, true), 5, [11, 3, 9], [5, 3]),
        case("no window fits", (thin, 1, true), 3, [11, 3, 8], [2, 2]),
        // In the order of the pages, in another, and one twice.
        held("whole, of the held", None, &[70_000, 3, 9, 12], &[70_000, 3, 9, 12], [7, 3, 9]),
        held(
            "two views of the held, two pages",
            crop(3, [0.3, 1.0]),
            &[4, 9, 4, 1, 70_000],
            &[9, 1, 4, 70_000],
            [13, 1, 8],
        ),
    ]
}

/// Images `indices` of those that `held` names, three a page.
fn held(
    name: &'static str,
    crop: Option<RandomCrop>,
    indices: &[u32],
    held: &[u32],
    [size, channels, out]: [u32; 3],
) -> Case {
    let (views, told) = (1 + u32::from(crop.is_some()), crop.is_some());
    let op = CropResize { crop, views, size, channels, out, images_per_page: 3, told, held: true };
    let named = |words: &[u32]| (Type::u32([words.len()]), Fill::Words(words.to_vec()));
    let mut inputs = vec![named(indices)];
    inputs.extend(held.chunks(3).map(|page| (Type::u32([page.len() * op.words()]), Fill::Bytes)));
    inputs.extend(crop.map(|_| (Type::f32([SCALARS]), Fill::Values(vec![3.0]))));
    inputs.push(named(held));
    Case::new(name, op, inputs)
}
