//! A sheet of images and views: its contents, also as a picture and as an archive.

use crate::base::{Error, Result};
use crate::data::arrays::{Array, npz};
use crate::data::{self, Images};

/// Images of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenImages {
    /// Their name: `images`, or `view0`, `view1` and so on.
    pub name: String,
    /// Their number, channels, height and width.
    pub dims: [usize; 4],
    /// Normalized values of all images, in the order of `dims`.
    pub values: Vec<f32>,
    /// What was drawn for the view that the network sees, or of which it sees a part or a turned copy: the numbers that
    /// the kernels used. It is empty for a step that the recipe leaves out.
    pub drawn: Vec<DrawnNumbers>,
}

/// Numbers of one kind that were drawn for each image of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnNumbers {
    /// Their name: `crop`, `flip`, `jitter` and so on.
    pub name: &'static str,
    /// How many numbers each image has.
    pub columns: usize,
    /// The numbers of all images, one image after the other.
    pub values: Vec<f32>,
}

/// What the network of a method sees of the first images in the first step of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewSheet {
    /// The places of the images in the training split.
    pub indices: Vec<u32>,
    /// The bytes of the images before any change, one image after the other: rows of pixels, the channels of a pixel
    /// together.
    pub stored: Vec<u8>,
    /// Their number, height, width and channels.
    pub stored_dims: [usize; 4],
    /// The images resized and normalized, then each view of them in the order in which networks see them.
    pub seen: Vec<SeenImages>,
    /// Subtracted from each channel, as a share of 255.
    pub mean: [f32; 3],
    /// Each channel is then divided by this.
    pub std: [f32; 3],
}

impl ViewSheet {
    /// A PNG with a row for each image: the image, then its views, as pixels.
    pub fn png(&self) -> Result<Vec<u8>> {
        const GAP: usize = 2;
        let Some(first) = self.seen.first() else { return Err(Error::Failed("a sheet without images".into())) };
        let [count, channels, side, _] = first.dims;
        // Small images are enlarged by whole pixels.
        let scale = 96usize.div_ceil(side.max(1)).max(1);
        let cell = side * scale + GAP;
        let (width, height) = (self.seen.len() * cell + GAP, count * cell + GAP);
        let mut pixels = vec![255u8; width * height * channels];
        for (column, part) in self.seen.iter().enumerate() {
            let [_, _, h, w] = part.dims;
            for (i, y, x, c) in (0..count).flat_map(|i| {
                (0..side * scale)
                    .flat_map(move |y| (0..side * scale).flat_map(move |x| (0..channels).map(move |c| (i, y, x, c))))
            }) {
                let (from_y, from_x) = (y * h / (side * scale), x * w / (side * scale));
                let value = part.values[((i * channels + c) * h + from_y) * w + from_x];
                let level = (value * self.std[c] + self.mean[c]).clamp(0.0, 1.0) * 255.0;
                let at = (GAP + i * cell + y) * width + GAP + column * cell + x;
                pixels[at * channels + c] = level.round() as u8;
            }
        }
        let (labels, names) = (vec![0], vec![String::new()]);
        data::png(&Images { height, width, channels, pixels: pixels.into(), labels, names }, 0)
    }

    /// An .npz archive: `indices` i64, `mean`, `std`, the bytes of the images, `stored` u8 [count, H, W, C], the values
    /// of each part by its name, f32 [count, C, H, W], and what was drawn for it, such as `view0_flip` f32 [count] and
    /// `view0_crop` [count, 4].
    pub fn npz(&self) -> Result<Vec<u8>> {
        let indices: Vec<i64> = self.indices.iter().map(|&i| i64::from(i)).collect();
        let three = |values| Array::F32(values, vec![3]);
        let mut members =
            vec![("indices", Array::I64(&indices)), ("mean", three(&self.mean)), ("std", three(&self.std))];
        members.push(("stored", Array::U8(&self.stored, self.stored_dims.to_vec())));
        let drawn = |part: &SeenImages, d: &DrawnNumbers| format!("{}_{}", part.name, d.name);
        let names: Vec<Vec<String>> = self.seen.iter().map(|p| p.drawn.iter().map(|d| drawn(p, d)).collect()).collect();
        for (part, names) in self.seen.iter().zip(&names) {
            members.push((&part.name, Array::F32(&part.values, part.dims.to_vec())));
            for (d, name) in part.drawn.iter().zip(names) {
                let dims = if d.columns == 1 { vec![part.dims[0]] } else { vec![part.dims[0], d.columns] };
                members.push((name, Array::F32(&d.values, dims)));
            }
        }
        npz(&members)
    }
}

/// A shape and its numbers.
pub(super) type Values = (Vec<usize>, Vec<f32>);

/// The values of a view for all images of the step, and what its ops drew.
pub(super) type Drawn = (Values, Vec<(&'static [(&'static str, usize)], Values)>);

/// Turns planes [N, C, H·W] of shares of 255 into bytes, the channels of a pixel together.
pub(super) fn interleaved(values: &[f32], channels: usize, plane: usize) -> Vec<u8> {
    let image = |image: &[f32]| {
        let byte = |i: usize| (image[i % channels * plane + i / channels] * 255.0).round() as u8;
        (0..channels * plane).map(byte).collect::<Vec<u8>>()
    };
    values.chunks_exact(channels * plane).flat_map(image).collect()
}

/// The columns of a sheet that is being made.
pub(super) struct Shown {
    /// How many images the sheet has, and a step.
    count: usize,
    batch: usize,
    pub(super) parts: Vec<SeenImages>,
    /// The values of the parts, for all images of a step.
    whole: Vec<Vec<f32>>,
}

impl Shown {
    pub(super) fn new(count: usize, batch: usize) -> Shown {
        Shown { count, batch, parts: Vec::new(), whole: Vec::new() }
    }

    /// Adds the images, as the first part.
    pub(super) fn images(&mut self, (dims, values): &Values) {
        self.part("images".to_string(), dims, values, Vec::new());
    }

    fn part(&mut self, name: String, dims: &[usize], values: &[f32], drawn: Vec<DrawnNumbers>) {
        let dims = [self.count, dims[1], dims[2], dims[3]];
        let values = values[..dims.iter().product::<usize>()].to_vec();
        self.parts.push(SeenImages { name, dims, values, drawn });
    }

    fn view(&mut self, dims: &[usize], values: &[f32], drawn: Option<&Drawn>) {
        let drawn = drawn.map(|d| self.numbers(d)).unwrap_or_default();
        self.part(format!("view{}", self.whole.len()), dims, values, drawn);
        self.whole.push(values.to_vec());
    }

    /// Adds what a turn shows: first each view that a pass of the backbone sees, except views that an earlier pass saw
    /// (a teacher that sees the same shows nothing new), then the views that no pass sees.
    pub(super) fn turn(&mut self, seen: &[Values], drawn: &[Drawn]) {
        let mut used = vec![false; drawn.len()];
        for (dims, values) in seen {
            let before = self.whole.len();
            for rows in values.chunks_exact(self.batch * dims[1..].iter().product::<usize>()) {
                // It is a view as it was made, or what a method made of its only view: tiles, quarter turns.
                let same = drawn.iter().position(|d| d.0.1 == rows);
                let source = same.or((drawn.len() == 1).then_some(0));
                source.into_iter().for_each(|i| used[i] = true);
                if !self.whole[..before].iter().any(|earlier| earlier == rows) {
                    self.view(dims, rows, source.map(|i| &drawn[i]));
                }
            }
        }
        for (made, _) in drawn.iter().zip(used).filter(|(_, used)| !used) {
            if !self.whole.contains(&made.0.1) {
                self.view(&made.0.0, &made.0.1, Some(made));
            }
        }
    }

    /// The numbers of each kind, for the images of the sheet.
    fn numbers(&self, (_, told): &Drawn) -> Vec<DrawnNumbers> {
        let mut all = Vec::new();
        for (columns, (dims, values)) in told {
            let mut from = 0;
            for &(name, columns) in *columns {
                let rows = values.chunks_exact(dims[1]).take(self.count);
                let values = rows.flat_map(|row| row[from..from + columns].to_vec()).collect();
                all.push(DrawnNumbers { name, columns, values });
                from += columns;
            }
        }
        all
    }
}
