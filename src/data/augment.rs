//! What happens to images between the store and the network, on the device: random views for training, the plain image
//! for evaluation. A view depends only on (seed, epoch, sample, view). The epoch is the scalar `epoch`.

use super::store::ImageStore;
use crate::base::Result;
use crate::kernels::color_jitter::ColorJitter;
use crate::kernels::crop_resize::{CropResize, RandomCrop};
use crate::kernels::draw::Draws;
use crate::kernels::gaussian_blur::GaussianBlur;
use crate::kernels::solarize::Solarize;
use crate::nn::{Recipe, Views};
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
        let augmentation = Augmentation { recipe: recipe.clone(), mean: self.mean, std: self.std };
        augmentation.view(t, self.store, indices, i, self.seed, self.out)
    }
}

impl Augmentation {
    /// One random view of the images at `indices`: crop and mirror, colours, blur, solarize, normalize. A step with
    /// probability 0 is left out. Where the recipe is off, the view is [`Augmentation::plain`]. f32 [B, channels, out, out].
    pub fn view(&self, t: &mut Tape, store: &ImageStore, indices: Var, view: u32, seed: u64, out: u32) -> Result<Var> {
        if self.recipe.off {
            return self.plain(t, store, indices, out);
        }
        t.part(StepPart::Augmentation, |t| self.random(t, store, indices, (view, seed), out))
    }

    fn random(
        &self,
        t: &mut Tape,
        store: &ImageStore,
        indices: Var,
        (view, seed): (u32, u64),
        out: u32,
    ) -> Result<Var> {
        let epoch = t.scalar("epoch")?;
        let draws = |stream| Draws::new(seed, stream, view, epoch);
        let (r, pair) = (&self.recipe, |v: [f64; 2]| v.map(|x| x as f32));
        let (scale, ratio, flip) = (pair(r.crop_scale), pair(r.crop_ratio), r.flip_probability as f32);
        let crop = RandomCrop { draws: draws(CROP), scale, ratio, flip };
        let pages = store.on_tape(t)?;
        let mut x = t.crop_resize(crop_of(store, Some(crop), out), indices, &pages, Some(epoch.var))?;
        if r.jitter_probability > 0.0 || r.grayscale_probability > 0.0 {
            let [brightness, contrast, saturation, hue] = r.jitter.map(|x| x as f32);
            let (probability, grayscale) = (r.jitter_probability as f32, r.grayscale_probability as f32);
            let draws = draws(JITTER);
            let op = ColorJitter { draws, probability, brightness, contrast, saturation, hue, grayscale };
            x = t.color_jitter(op, x, indices, epoch.var)?;
        }
        if r.blur_probability > 0.0 {
            // SimCLR's kernel is a tenth of the image wide. Small images have the smallest kernel, three taps.
            let radius = (out / 20).max(1);
            let (draws, probability, sigma) = (draws(BLUR), r.blur_probability as f32, pair(r.blur_sigma));
            x = t.gaussian_blur(GaussianBlur { draws, probability, sigma, radius }, x, indices, epoch.var)?;
        }
        if r.solarize_probability > 0.0 {
            let (draws, probability) = (draws(SOLARIZE), r.solarize_probability as f32);
            x = t.solarize(Solarize { draws, probability, threshold: 0.5 }, x, indices, epoch.var)?;
        }
        t.normalize(x, self.mean, self.std)
    }

    /// The images at `indices` without random changes, resized and normalized, for evaluation.
    pub fn plain(&self, t: &mut Tape, store: &ImageStore, indices: Var, out: u32) -> Result<Var> {
        t.part(StepPart::Augmentation, |t| {
            let pages = store.on_tape(t)?;
            let x = t.crop_resize(crop_of(store, None, out), indices, &pages, None)?;
            t.normalize(x, self.mean, self.std)
        })
    }
}

fn crop_of(store: &ImageStore, crop: Option<RandomCrop>, out: u32) -> CropResize {
    CropResize {
        crop,
        size: store.size as u32,
        channels: store.channels as u32,
        out,
        images_per_page: store.images_per_page as u32,
    }
}
