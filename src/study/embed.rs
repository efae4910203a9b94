//! The features that a backbone makes of images, for other programs. Any program may have trained the backbone.

use super::config::{self, Config};
use super::pass::{Eye, Pass};
use super::session::Job;
use super::start::{ImageForm, model_of};
use crate::base::{Error, Result};
use crate::data::arrays::{Array, npz};
use crate::data::store::ImageStore;
use crate::data::{self, DecodedData, Images, LoadOptions, Split};
use crate::nn::{Backbone, architecture, checkpoint, weights};
use crate::tape::State;
use std::path::Path;
use std::sync::Arc;

/// The values for ImageNet in torchvision and timm: the side of images at test time in pixels, and the mean and
/// deviation of the training images.
const IMAGENET: (usize, [f32; 3], [f32; 3]) = (224, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// Bytes of images that are on the device at once.
const CHUNK_BYTES: usize = 256 << 20;

/// How a person wants images to be prepared. A value that is `None` comes from the file of weights, or else from
/// ImageNet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Side of an image in pixels.
    pub image_size: Option<usize>,
    /// Subtracted from each channel, as a share of 255.
    pub mean: Option<[f32; 3]>,
    /// Each channel is then divided by this.
    pub std: Option<[f32; 3]>,
    /// How many images a step takes. It is halved until a step fits the device.
    pub batch: usize,
}

/// Features of images. The order is train, val, test, and within a split the data's order.
#[derive(Clone, Debug, Default)]
pub struct Embedded {
    /// A row for each image.
    pub features: Vec<f32>,
    /// Length of a row.
    pub width: usize,
    /// The class of each image.
    pub labels: Vec<i64>,
    /// The path of each image, or its place, as in "train/17".
    pub names: Vec<String>,
    /// The split of each image.
    pub splits: Vec<&'static str>,
    /// The name of each class.
    pub classes: Vec<String>,
}

impl Embedded {
    /// Adds labels, names and splits of images whose features were added.
    pub(super) fn name(&mut self, split: Split, images: &Images) {
        self.labels.extend(images.labels.iter().map(|&l| i64::from(l)));
        self.names.extend(images.names.iter().cloned());
        self.splits.extend(std::iter::repeat_n(split.name(), images.len()));
    }

    /// The embedding as a NumPy archive: `features` f32 [N, D], `labels` i64 [N], and the texts `names` [N], `splits`
    /// [N] and `classes`.
    pub fn npz(&self) -> Result<Vec<u8>> {
        let [names, classes] =
            [&self.names, &self.classes].map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
        npz(&[
            ("features", Array::F32(&self.features, vec![self.names.len(), self.width])),
            ("labels", Array::I64(&self.labels)),
            ("names", Array::Text(&names)),
            ("splits", Array::Text(&self.splits)),
            ("classes", Array::Text(&classes)),
        ])
    }
}

/// A backbone, how its images are prepared, and where each of these values comes from.
struct Seen {
    backbone: Arc<dyn Backbone>,
    form: ImageForm,
    said_by: [&'static str; 2],
}

/// Combines the values in the file with the wish. The wish has priority.
fn seen((path, bytes): (&Path, &[u8]), wish: &Wish) -> Result<Seen> {
    let metadata = checkpoint::read_metadata(path, bytes)?;
    let own = ImageForm::of(&metadata);
    let (backbone, grid) = match (own, model_of(path, &metadata)) {
        (Some(own), Some(model)) => (model.backbone(own.channels)?, None),
        _ => {
            let told = architecture::told((path, bytes))?;
            (told.backbone, told.image_size)
        }
    };
    let channels = backbone.in_channels();
    if ![1, 3].contains(&channels) {
        let path = path.display();
        return Err(Error::Data(format!(
            "{path} is of a network for images of {channels} channels; images have 1 or 3"
        )));
    }
    let (size, mean, std) = IMAGENET;
    let ([store_size, image_size], size_by) = match (wish.image_size, own, grid) {
        (Some(size), ..) => ([size; 2], "--image-size"),
        (None, Some(own), _) => ([own.store_size, own.image_size], "of the weights' metadata"),
        (None, None, Some(grid)) => ([grid; 2], "of the position embeddings"),
        (None, None, None) => ([size; 2], "ImageNet's"),
    };
    let (own_mean, own_std, own_by) = match own {
        Some(own) => (own.mean, own.std, "of the weights' metadata"),
        None if channels == 1 => (gray(mean), gray(std), "ImageNet's, averaged for gray"),
        None => (mean, std, "ImageNet's"),
    };
    let said_by = [size_by, if wish.mean.is_some() && wish.std.is_some() { "as asked for" } else { own_by }];
    let form = ImageForm {
        image_size,
        store_size,
        channels,
        mean: wish.mean.unwrap_or(own_mean),
        std: wish.std.unwrap_or(own_std),
    };
    Ok(Seen { backbone, form, said_by })
}

fn gray(rgb: [f32; 3]) -> [f32; 3] {
    [rgb.iter().sum::<f32>() / 3.0; 3]
}

impl Seen {
    /// How an image is prepared, in a sentence.
    fn told(&self) -> String {
        let ImageForm { image_size, store_size, channels, mean, std } = self.form;
        let colours = if channels == 1 { "gray" } else { "RGB" };
        let then =
            if store_size == image_size { String::new() } else { format!(", then to {image_size} × {image_size}") };
        let [size_by, by] = self.said_by;
        format!(
            "{}: each image is read as {colours}, resized whole to {store_size} × {store_size} (bilinear, antialiased, nothing \
             cropped){then} ({size_by}), and normalized by mean {} and std {} ({by})",
            self.backbone,
            listed(&mean[..channels]),
            listed(&std[..channels])
        )
    }
}

fn listed(values: &[f32]) -> String {
    values.iter().map(|v| v.to_string()).collect::<Vec<_>>().join(",")
}

impl Job<'_> {
    /// The features that the backbone in `path` makes of every image of `spec`. The file says which backbone it is.
    /// This program or another may have written it. A note says how images are prepared. The job's config is read only
    /// for the limits on data.
    pub fn embed(&self, path: &Path, spec: &str, wish: &Wish) -> Result<Embedded> {
        Ok(self.embed_beside(path, spec, wish, &Ok)?.0)
    }

    /// The same, beside the images; `changed` may first give them other labels.
    pub(super) fn embed_beside(
        &self,
        path: &Path,
        spec: &str,
        wish: &Wish,
        changed: &dyn Fn(DecodedData) -> Result<DecodedData>,
    ) -> Result<(Embedded, DecodedData)> {
        let bytes = weights::read(path)?;
        let seen = seen((path, &bytes), wish)?;
        let ImageForm { image_size, store_size, channels, .. } = seen.form;
        let c = self.config;
        let data = config::Data { image_size, store_size, channels, ..c.data.clone() };
        let config = Config { data, ..c.clone() };
        let job = Job { config: &config, kernels: self.kernels.clone(), ..*self };
        job.progress.note(&seen.told());
        let mut state = State::new();
        let wanted = job.backbone_tensors(seen.backbone.as_ref()).map_err(|e| match e {
            Error::Shape { .. } => Error::Usage(format!("{e}; choose another --image-size")),
            other => other,
        })?;
        let notes = weights::load((path, &bytes), job.gpu, &mut state, "backbone.", &wanted, None)?;
        drop(bytes);
        notes.iter().filter(|n| !n.contains("is left out; --keep-classifier")).for_each(|n| job.progress.note(n));
        let data = changed(job.all_images(spec)?)?;
        let eye = Eye::new(seen.backbone.clone(), seen.form.mean, seen.form.std);
        let weights = format!("the weights in {}", path.display());
        let embedded = job.features_of(&data, &eye, (&state, &weights), wish.batch)?;
        Ok((embedded, data))
    }

    /// Every image of a dataset, as it is in its files.
    pub(super) fn all_images(&self, spec: &str) -> Result<DecodedData> {
        self.progress.stage(&format!("load {spec}"), 0, 0, "images");
        let options = LoadOptions { cache: None, ..self.load_options() };
        let data = data::load_all(spec, &options, &self.until_stopped(spec))?;
        data.notes.iter().for_each(|n| self.progress.note(n));
        Ok(data)
    }

    fn features_of(&self, data: &DecodedData, eye: &Eye, of: (&State, &str), mut batch: usize) -> Result<Embedded> {
        let total: usize = data.parts_with_images().map(|(_, images)| images.len()).sum();
        let mut all = Embedded { width: eye.backbone.features(), classes: data.classes.clone(), ..Embedded::default() };
        self.progress.stage(&format!("embed {}", data.name), total as u64, 0, "images");
        for (split, images) in data.parts_with_images() {
            let chunk = (CHUNK_BYTES / images.stride().max(1)).max(1);
            for start in (0..images.len()).step_by(chunk) {
                let end = images.len().min(start + chunk);
                let before = all.features.len() / all.width.max(1);
                let told = |done: usize| self.progress.step((before + done) as u64, "");
                let rows = self.chunk(images, start..end, eye, of, (&mut batch, &told))?;
                all.features.extend(rows);
            }
            all.name(split, images);
        }
        self.progress.done(&format!("{}: {total} images, {} features each", data.name, all.width));
        Ok(all)
    }

    /// The features of some images. The step is halved until it fits the device.
    fn chunk(
        &self,
        images: &Images,
        range: std::ops::Range<usize>,
        eye: &Eye,
        (state, weights): (&State, &str),
        (batch, told): (&mut usize, &dyn Fn(usize)),
    ) -> Result<Vec<f32>> {
        let first = images.names.get(range.start).map_or("", String::as_str);
        let (name, dims) = (format!("{first} and on,"), [images.height, images.channels]);
        let mut state = state.clone();
        let store = ImageStore::upload(self.gpu, &mut state, &name, &images.bytes(range)?, dims, None)?;
        while *batch > 1 && !self.fits(&state, &Pass::tapes(self, eye, &[&store], None, *batch)?)? {
            *batch /= 2;
        }
        let evaluation = config::Evaluation { batch_size: *batch, ..self.config.evaluation.clone() };
        let config = Config { evaluation, ..self.config.clone() };
        let job = Job { config: &config, kernels: self.kernels.clone(), ..*self };
        let [pass] = Pass::each(&job, eye, [&store], (&state, weights), None)?;
        pass.features_told(&job, told).map_err(|e| match e {
            Error::TryAgain(_) => Error::TryAgain("stopped; nothing is written".into()),
            other => other,
        })
    }
}
