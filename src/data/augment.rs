//! What happens to images between the store and the network, on the device: random views for training, the plain image
//! for evaluation. A view of a sample depends on (seed, epoch, sample, view) alone; the epoch is the scalar `epoch`.

use super::store::ImageStore;
use crate::base::Result;
use crate::kernels::color_jitter::ColorJitter;
use crate::kernels::crop_resize::{CropResize, RandomCrop};
use crate::kernels::draw::Draws;
use crate::kernels::gaussian_blur::GaussianBlur;
use crate::tape::{Phase, Tape, Var};

/// The random streams of the ops.
const CROP: u32 = 0x4352;
const JITTER: u32 = 0x4a49;
const BLUR: u32 = 0x424c;

/// The strengths of a view, in the order they are applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// Least and greatest area of the crop, as fractions of the image.
    pub crop_scale: [f32; 2],
    /// Least and greatest width / height of the crop.
    pub crop_ratio: [f32; 2],
    /// Probability of a mirror image.
    pub flip_probability: f32,
    /// Probability that colours change.
    pub jitter_probability: f32,
    /// Strengths of brightness, contrast, saturation and hue.
    pub jitter: [f32; 4],
    /// Probability of gray.
    pub grayscale_probability: f32,
    /// Probability of a blur.
    pub blur_probability: f32,
    /// Least and greatest sigma of the blur, in pixels.
    pub blur_sigma: [f32; 2],
    /// What is subtracted from each channel, as a fraction of 255.
    pub mean: [f32; 3],
    /// What each channel is divided by then.
    pub std: [f32; 3],
}

impl Augmentation {
    /// One random view of the images at `indices`: crop and mirror, colours, blur, normalize; what has probability 0 is
    /// left out. f32 [B, channels, out, out].
    pub fn view(&self, t: &mut Tape, store: &ImageStore, indices: Var, view: u32, seed: u64, out: u32) -> Result<Var> {
        t.phase(Phase::Augmentation, |t| self.random(t, store, indices, (view, seed), out))
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
        let crop = RandomCrop {
            draws: draws(CROP),
            scale: self.crop_scale,
            ratio: self.crop_ratio,
            flip: self.flip_probability,
        };
        let pages = store.on_tape(t)?;
        let mut x = t.crop_resize(crop_of(store, Some(crop), out), indices, &pages, Some(epoch.var))?;
        if self.jitter_probability > 0.0 || self.grayscale_probability > 0.0 {
            let [brightness, contrast, saturation, hue] = self.jitter;
            let (probability, grayscale) = (self.jitter_probability, self.grayscale_probability);
            let draws = draws(JITTER);
            let op = ColorJitter { draws, probability, brightness, contrast, saturation, hue, grayscale };
            x = t.color_jitter(op, x, indices, epoch.var)?;
        }
        if self.blur_probability > 0.0 {
            // SimCLR's kernel is a tenth of the image wide; at small sizes that is the least there is, three taps.
            let radius = (out / 20).max(1);
            let (draws, probability, sigma) = (draws(BLUR), self.blur_probability, self.blur_sigma);
            x = t.gaussian_blur(GaussianBlur { draws, probability, sigma, radius }, x, indices, epoch.var)?;
        }
        t.normalize(x, self.mean, self.std)
    }

    /// The images at `indices` as they are, resized and normalized: what evaluation sees.
    pub fn plain(&self, t: &mut Tape, store: &ImageStore, indices: Var, out: u32) -> Result<Var> {
        t.phase(Phase::Augmentation, |t| {
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
