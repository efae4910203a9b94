//! What a method's network sees of some images: a sheet for people who look, numbers for programs that check.

use super::pretrain::batch_for;
use super::session::Job;
use super::stage::order;
use super::turns::scalar;
use crate::base::{Error, Result};
use crate::data::arrays::{Array, npz};
use crate::data::augment::{Augmentation, StoreViews};
use crate::data::{self, Images};
use crate::nn::recorder::{Progress, Recorder};
use crate::nn::{Backbone, Mode, Optimizer, Params, Recipe, Views};
use crate::tape::{Feed, Plan, State, Tape, Type, Var};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Images of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenImages {
    /// What they are: `images`, or `view0`, `view1` and so on.
    pub name: String,
    /// How many, their channels, height and width.
    pub dims: [usize; 4],
    /// Normalized values of all, in that order.
    pub values: Vec<f32>,
}

/// What the first step of an epoch shows a method's network of its first images.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewSheet {
    /// Which training images.
    pub indices: Vec<u32>,
    /// The images as they are, resized and normalized, then each view of them in the order in which networks see them.
    pub seen: Vec<SeenImages>,
    /// What was subtracted from each channel, as a fraction of 255.
    pub mean: [f32; 3],
    /// What it was divided by then.
    pub std: [f32; 3],
}

impl Job<'_> {
    /// The views that `method` makes of the first `count` images of the first step of an epoch, counted from 0.
    pub fn views(&self, spec: &str, method: &str, (seed, epoch): (u64, usize), count: usize) -> Result<ViewSheet> {
        let method = self.config.pretraining_of(method)?;
        let images = self.load(spec)?.train;
        let batch = batch_for(&method, images.store.count)?;
        let count = count.min(batch);
        let chosen = order(seed, epoch, images.store.count);
        let indices: Vec<u32> = chosen[..batch].iter().map(|&i| i as u32).collect();
        let (mean, std, out) = (images.mean, images.std, self.config.data.image_size as u32);
        let inner = StoreViews { store: &images.store, seed, out, mean, std };
        let (mut state, mut params, mut seen) = (images.resident.clone(), Params::new(), Vec::new());
        let steps = images.store.count / batch;
        let epochs = method.optimization.epochs.max(epoch + 1);
        let at = Progress { seed, epoch, epochs, step: 0, steps, repeat: 0, before: 0 };
        let mut tape = Tape::new();
        let wanted = tape.input("indices", Type::u32([batch]))?;
        let plain = Augmentation { recipe: Recipe::PLAIN, mean, std }.plain(&mut tape, &images.store, wanted, out)?;
        seen.extend(self.shown(tape, &[plain], &state, (&indices, epoch), &Own::default())?);
        for turn in method.method.turns() {
            let mut tape = Tape::new();
            let indices_var = tape.input("indices", Type::u32([batch]))?;
            let views = Aligned { inner: &inner, indices: indices_var, aligned: Mutex::default() };
            let backbone = Watched { inner: method.backbone.as_ref(), seen: Mutex::default() };
            let mut r = Recorder {
                t: &mut tape,
                params: &mut params,
                backbone: &backbone,
                recipe: &method.augmentation,
                batch,
                indices: indices_var,
                views: &views,
                mode: Mode::Train,
            };
            method.method.record(&turn, &mut r)?;
            let own = (method.method.inputs(at, &indices), method.method.scalars(at)); // known once a step was recorded
            let aligned = views.aligned.into_inner().unwrap_or_else(PoisonError::into_inner);
            let inputs = backbone.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
            let vars: Vec<Var> = inputs.into_iter().map(|x| aligned.get(&x).copied().unwrap_or(x)).collect();
            params.fill(self.gpu, &mut state, seed)?;
            state.insert_missing(self.gpu, &tape.state_types())?;
            seen.extend(self.shown(tape, &vars, &state, (&indices, epoch), &own)?);
        }
        let mut parts: Vec<SeenImages> = Vec::new();
        for (i, (dims, values)) in seen.iter().enumerate() {
            if seen[1..i.max(1)].iter().any(|before| before.1 == *values) {
                continue; // a teacher that sees the same shows nothing new
            }
            for rows in values.chunks_exact(batch * dims[1..].iter().product::<usize>()) {
                let name = if parts.is_empty() { "images".into() } else { format!("view{}", parts.len() - 1) };
                let dims = [count, dims[1], dims[2], dims[3]];
                let values = rows[..dims.iter().product::<usize>()].to_vec();
                parts.push(SeenImages { name, dims, values });
            }
        }
        Ok(ViewSheet { indices: indices[..count].to_vec(), seen: parts, mean, std })
    }

    /// Runs a tape and reads these values of it, each f32 [N, C, H, W].
    fn shown(
        &self,
        mut tape: Tape,
        vars: &[Var],
        state: &State,
        (indices, epoch): (&[u32], usize),
        own: &Own,
    ) -> Result<Vec<([usize; 4], Vec<f32>)>> {
        let mut dims = Vec::new();
        for (i, var) in vars.iter().enumerate() {
            dims.push(tape.shape(*var).nchw("views", "x")?);
            tape.output(&format!("seen{i}"), *var);
        }
        let schedule = self.schedule(&tape)?;
        let mut feed = Feed::new();
        for name in &schedule.scalars {
            let value = scalar(name, [0.0, 0.0, epoch as f32, 0.0, 0.0], &own.1);
            feed = value.into_iter().fold(feed, |feed, value| feed.scalar(name, value));
        }
        let named = |name: &str| schedule.inputs.iter().any(|i| i.0 == name);
        if named("indices") {
            feed = feed.input("indices", indices);
        }
        feed.inputs.extend(own.0.iter().filter(|o| named(o.0)).map(|(n, b)| (*n, b.as_slice())));
        let plan = Plan::new(self.gpu, schedule.clone(), state)?;
        plan.run(self.gpu, &feed)?;
        dims.into_iter().enumerate().map(|(i, d)| Ok((d, plan.read_f32(self.gpu, &format!("seen{i}"))?))).collect()
    }
}

/// A method's inputs and scalars.
type Own = (Vec<(&'static str, Vec<u8>)>, Vec<(&'static str, f32)>);

impl ViewSheet {
    /// A PNG with a row for each image: the image, then its views, as pixels again.
    pub fn png(&self) -> Result<Vec<u8>> {
        const GAP: usize = 2;
        let Some(first) = self.seen.first() else { return Err(Error::Failed("a sheet without images".into())) };
        let [count, channels, side, _] = first.dims;
        // Small images grow by whole pixels.
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
        data::png(&Images { height, width, channels, pixels, labels, names }, 0)
    }

    /// An .npz: `indices` i64, `mean`, `std`, and the values of each part by its name, f32 [count, C, H, W].
    pub fn npz(&self) -> Result<Vec<u8>> {
        let indices: Vec<i64> = self.indices.iter().map(|&i| i64::from(i)).collect();
        let three = |values| Array::F32(values, vec![3]);
        let mut members =
            vec![("indices", Array::I64(&indices)), ("mean", three(&self.mean)), ("std", three(&self.std))];
        members.extend(self.seen.iter().map(|part| (&part.name[..], Array::F32(&part.values, part.dims.to_vec()))));
        npz(&members)
    }
}

/// Makes views and remembers, of those in another order of the step's images, the same in theirs.
struct Aligned<'a> {
    inner: &'a StoreViews<'a>,
    indices: Var,
    aligned: Mutex<BTreeMap<Var, Var>>,
}

impl Views for Aligned<'_> {
    fn view(&self, t: &mut Tape, indices: Var, i: u32, recipe: &Recipe) -> Result<Var> {
        let made = self.inner.view(t, indices, i, recipe)?;
        if indices != self.indices {
            let same = self.inner.view(t, self.indices, i, recipe)?;
            self.aligned.lock().unwrap_or_else(PoisonError::into_inner).insert(made, same);
        }
        Ok(made)
    }
}

/// A backbone that remembers what it is given.
#[derive(Debug)]
struct Watched<'a> {
    inner: &'a dyn Backbone,
    seen: Mutex<Vec<Var>>,
}

impl Watched<'_> {
    fn see(&self, x: Var) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(x);
    }
}

impl fmt::Display for Watched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner, f)
    }
}

impl Backbone for Watched<'_> {
    fn in_channels(&self) -> usize {
        self.inner.in_channels()
    }

    fn features(&self) -> usize {
        self.inner.features()
    }

    fn forward(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, mode: Mode) -> Result<Var> {
        self.see(x);
        self.inner.forward(t, params, prefix, x, mode)
    }

    fn patch_size(&self) -> Option<usize> {
        self.inner.patch_size()
    }

    fn tokens(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, rows: Option<Var>) -> Result<Var> {
        self.see(x);
        self.inner.tokens(t, params, prefix, x, rows)
    }

    fn classifier(&self) -> &'static str {
        self.inner.classifier()
    }

    fn classify(&self, t: &mut Tape, params: &mut Params, prefix: &str, x: Var, classes: usize) -> Result<Var> {
        self.inner.classify(t, params, prefix, x, classes)
    }

    fn usual_optimizer(&self) -> Optimizer {
        self.inner.usual_optimizer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::progress::Silent;
    use crate::study::testing::with_job;

    #[test]
    fn a_sheet_shows_what_each_method_s_network_sees() {
        let spec = "phantom:covid?train=24&val=8&test=9";
        let text = "[data]\nstore_size = 18\nimage_size = 18\n[model]\nwidth = 0.0625\n[pretraining]\nbatch_size = 8\n\
                    moco.queue_size = 16\nmoco.batch_norm_splits = 2\nmoco.projection_dims = [16, 8]\n";
        with_job(text, &Silent, |job| {
            let of = |job: &Job<'_>, method: &str| job.views(spec, method, (0, 0), 3).unwrap();
            // Image, and what the network sees: two views, four turns, nine tiles, a query and a key.
            for (method, parts) in [("simclr", 3), ("rotation", 5), ("jigsaw", 10), ("moco", 3)] {
                let sheet = of(job, method);
                let names: Vec<&str> = sheet.seen.iter().map(|s| s.name.as_str()).collect();
                assert!(sheet.seen.len() == parts && names[..2] == ["images", "view0"], "{method}: {names:?}");
                assert!(
                    sheet.seen.iter().all(|s| s.dims[0] == 3 && s.values.len() == s.dims.iter().product::<usize>())
                );
                assert!(sheet.png().unwrap().starts_with(b"\x89PNG") && sheet.npz().unwrap().starts_with(b"PK"));
            }
            assert_eq!(of(job, "simclr"), of(job, "simclr"));
            assert_ne!(of(job, "simclr").seen[1], job.views(spec, "simclr", (0, 1), 3).unwrap().seen[1]);
            // A key sees the images in another order; the sheet shows each in its own row.
            let off = super::super::Config::parse("t", &format!("{text}[augmentation]\noff = true\n")).unwrap();
            let job = Job { config: &off, kernels: Default::default(), ..*job };
            let sheet = of(&job, "moco");
            assert!(sheet.seen.len() == 2 && sheet.seen[1].values == sheet.seen[0].values, "off: one view, the image");
            let turned = of(&job, "rotation");
            let (image, half) = (&turned.seen[0].values[..18 * 18], &turned.seen[3].values[..18 * 18]);
            assert!(image.iter().eq(half.iter().rev()), "half a turn");
            // A mask of patches is drawn for as many as the recorded step has.
            let vit = "[data]\nstore_size = 18\nimage_size = 18\n[model]\narch = \"vit_tiny\"\npatch_size = 6\n[pretraining]\n\
                       batch_size = 8\nmae.decoder_embed_dim = 8\nmae.decoder_depth = 1\nmae.decoder_num_heads = 2\n";
            let vit = super::super::Config::parse("t", vit).unwrap();
            let job = Job { config: &vit, kernels: Default::default(), ..job };
            let sheet = of(&job, "mae");
            assert!(
                sheet.seen.len() == 2 && sheet.seen[1].dims == [3, 1, 18, 18],
                "the view before patches are hidden"
            );
            assert_ne!(sheet.seen[1].values, sheet.seen[0].values);
        });
    }
}
