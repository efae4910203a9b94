//! What happens to images between the store and the network, on the device: random views for training, the plain image
//! for evaluation. A view depends only on (seed, epoch, sample, view). The epoch is the scalar `epoch`.

use super::store::{ImageStore, OnTape};
use crate::base::Result;
use crate::kernels::color_jitter::{self, ColorJitter};
use crate::kernels::crop_resize::{self, CropResize, RandomCrop};
use crate::kernels::draw::Draws;
use crate::kernels::gaussian_blur::{self, GaussianBlur};
use crate::kernels::solarize::{self, Solarize};
use crate::nn::{Recipe, Views, apart};
use crate::tape::{StepPart, Tape, Var};

/// The random streams of the ops.
const CROP: u32 = 0x4352;
const JITTER: u32 = 0x4a49;
const BLUR: u32 = 0x424c;
const SOLARIZE: u32 = 0x534f;

/// How an image becomes what a network sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// The strengths of a random view.
    pub recipe: Recipe,
    /// The value that is subtracted from each channel, as a fraction of 255.
    pub mean: [f32; 3],
    /// The value by which each channel is then divided.
    pub std: [f32; 3],
}

/// Views of the images in a store.
pub struct StoreViews<'a> {
    /// The images.
    pub store: &'a ImageStore,
    /// The seed of every draw.
    pub seed: u64,
    /// The side of a view in pixels.
    pub out: u32,
    /// See [`Augmentation::mean`].
    pub mean: [f32; 3],
    /// See [`Augmentation::std`].
    pub std: [f32; 3],
}

impl Views for StoreViews<'_> {
    fn view(&self, t: &mut Tape, indices: Var, i: u32, recipe: &Recipe) -> Result<Var> {
        self.augmentation(recipe).view(t, self.store, indices, i, self.seed, self.out)
    }

    /// Where the recipes differ in blur and solarize alone, each op makes both views in one pass.
    fn both(&self, t: &mut Tape, indices: Var, first: u32, recipes: [&Recipe; 2]) -> Result<Var> {
        let [a, b] = recipes;
        let (blur_probability, solarize_probability) = (b.blur_probability, b.solarize_probability);
        if a.off || *b != (Recipe { blur_probability, solarize_probability, ..a.clone() }) {
            return apart(self, t, indices, first, recipes);
        }
        let made = Made { first, seed: self.seed, told: false, second: Some(b) };
        Ok(self.augmentation(a).random(t, self.store, indices, made, self.out)?.0)
    }
}

impl StoreViews<'_> {
    fn augmentation(&self, recipe: &Recipe) -> Augmentation {
        Augmentation { recipe: recipe.clone(), mean: self.mean, std: self.std }
    }

    /// A view, and what was drawn for it.
    pub fn told_view(&self, t: &mut Tape, indices: Var, i: u32, recipe: &Recipe) -> Result<(Var, Vec<Told>)> {
        self.augmentation(recipe).told_view(t, self.store, indices, (i, self.seed), self.out)
    }
}

/// Numbers that one op drew for each image of a view, written by the kernel that used them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What they are, and in how many columns each: `TOLD` of the op.
    pub columns: &'static [(&'static str, usize)],
    /// f32 [B, all columns].
    pub values: Var,
}

/// What is made of each image.
#[derive(Clone, Copy)]
struct Made<'a> {
    /// The number of the only view, or of the first one.
    first: u32,
    seed: u64,
    told: bool,
    /// The recipe of a second view, if there is one. It differs in blur and solarize alone.
    second: Option<&'a Recipe>,
}

impl Augmentation {
    /// One random view of the images at `indices`: crop and mirror, colours, blur, solarize, normalize. A step with
    /// probability 0 is left out. Where the recipe is off, the view is [`Augmentation::plain`]. f32 [B, channels, out, out].
    pub fn view(&self, t: &mut Tape, store: &ImageStore, indices: Var, view: u32, seed: u64, out: u32) -> Result<Var> {
        Ok(self.random(t, store, indices, Made { first: view, seed, told: false, second: None }, out)?.0)
    }

    /// [`Augmentation::view`] number `view` of a seed, to the same bits, and what its ops drew, in their order: nothing where
    /// the recipe is off, and nothing of a step that is left out.
    pub fn told_view(
        &self,
        t: &mut Tape,
        store: &ImageStore,
        indices: Var,
        (view, seed): (u32, u64),
        out: u32,
    ) -> Result<(Var, Vec<Told>)> {
        self.random(t, store, indices, Made { first: view, seed, told: true, second: None }, out)
    }

    fn random(
        &self,
        t: &mut Tape,
        store: &ImageStore,
        indices: Var,
        made: Made<'_>,
        out: u32,
    ) -> Result<(Var, Vec<Told>)> {
        if self.recipe.off {
            return Ok((self.plain(t, store, indices, out)?, Vec::new()));
        }
        t.part(StepPart::Augmentation, |t| self.steps(t, store, indices, made, out))
    }

    fn steps(
        &self,
        t: &mut Tape,
        store: &ImageStore,
        indices: Var,
        Made { first, seed, told, second }: Made<'_>,
        out: u32,
    ) -> Result<(Var, Vec<Told>)> {
        let mut all = Vec::new();
        // The first output is the images, a second one what was drawn.
        let mut take = |columns: &'static [(&'static str, usize)], made: Vec<Var>| {
            all.extend(made.get(1).map(|&values| Told { columns, values }));
            made[0]
        };
        let epoch = t.scalar("epoch")?;
        let draws = |stream| Draws::new(seed, stream, first, epoch);
        let (r, pair) = (&self.recipe, |v: [f64; 2]| v.map(|x| x as f32));
        let (scale, ratio, flip) = (pair(r.crop_scale), pair(r.crop_ratio), r.flip_probability as f32);
        let crop = RandomCrop { draws: draws(CROP), scale, ratio, flip };
        let OnTape { pages, held } = store.on_tape(t)?;
        let views = 1 + u32::from(second.is_some());
        let crop = CropResize { views, told, ..crop_of(store, Some(crop), out) };
        let inputs: Vec<Var> = [indices].into_iter().chain(pages).chain([epoch.var]).chain(held).collect();
        let mut x = take(&crop_resize::TOLD, t.apply(crop, &inputs)?);
        if r.jitter_probability > 0.0 || r.grayscale_probability > 0.0 {
            let [brightness, contrast, saturation, hue] = r.jitter.map(|x| x as f32);
            let (probability, grayscale) = (r.jitter_probability as f32, r.grayscale_probability as f32);
            let draws = draws(JITTER);
            let op = ColorJitter { draws, probability, brightness, contrast, saturation, hue, grayscale, told };
            x = take(&color_jitter::TOLD, t.apply(op, &[x, indices, epoch.var])?);
        }
        let of_each = |of: fn(&Recipe) -> f64| [of(r), of(second.unwrap_or(r))].map(|p| p as f32);
        let probability = of_each(|r| r.blur_probability);
        if probability != [0.0; 2] {
            let (draws, sigma) = (draws(BLUR), pair(r.blur_sigma));
            let op = GaussianBlur { draws, probability, sigma, radius: blur_radius(out), told };
            x = take(&gaussian_blur::TOLD, t.apply(op, &[x, indices, epoch.var])?);
        }
        let probability = of_each(|r| r.solarize_probability);
        if probability != [0.0; 2] {
            let op = Solarize { draws: draws(SOLARIZE), probability, threshold: 0.5, told };
            x = take(&solarize::TOLD, t.apply(op, &[x, indices, epoch.var])?);
        }
        Ok((t.normalize(x, self.mean, self.std)?, all))
    }

    /// The images at `indices` without random changes, resized and normalized, for evaluation.
    pub fn plain(&self, t: &mut Tape, store: &ImageStore, indices: Var, out: u32) -> Result<Var> {
        t.part(StepPart::Augmentation, |t| {
            let OnTape { pages, held } = store.on_tape(t)?;
            let inputs: Vec<Var> = [indices].into_iter().chain(pages).chain(held).collect();
            let x = t.apply1(crop_of(store, None, out), &inputs)?;
            t.normalize(x, self.mean, self.std)
        })
    }
}

fn crop_of(store: &ImageStore, crop: Option<RandomCrop>, out: u32) -> CropResize {
    CropResize {
        crop,
        views: 1,
        size: store.size as u32,
        channels: store.channels as u32,
        out,
        images_per_page: store.images_per_page as u32,
        told: false,
        held: store.streamed.is_some(),
    }
}

/// Taps of the blur on each side of a pixel, for views of `out` pixels: SimCLR's kernel is a tenth of the image wide. Small
/// images have the smallest kernel, three taps.
pub fn blur_radius(out: u32) -> u32 {
    (out / 20).max(1)
}
