//! What a method's network sees of some images: as a sheet for people to look at, and as numbers for programs to check.

mod sheet;

use super::config::Pretrained;
use super::pretrain::batch_for;
use super::session::Job;
use super::stage::order;
use super::turns::{epoch_alone, scalar};
use crate::base::Result;
use crate::data::augment::{Augmentation, StoreViews, Told};
use crate::data::store::ImageStore;
use crate::nn::recorder::{Progress, Recorder, Turn};
use crate::nn::{Backbone, Mode, Optimizer, Params, Recipe, Views};
use crate::tape::{Feed, Plan, State, Tape, Type, Var};
use sheet::{Drawn, Shown, Values, interleaved};
pub use sheet::{DrawnNumbers, SeenImages, ViewSheet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

impl Job<'_> {
    /// The views that `method` makes of the first `count` images in the first step of an epoch. Epochs count from 0.
    pub fn views(&self, spec: &str, method: &str, (seed, epoch): (u64, usize), count: usize) -> Result<ViewSheet> {
        let method = self.config.pretraining_of(method)?;
        let images = self.load_train(spec)?;
        let batch = batch_for(&method, images.store.count)?;
        let count = count.min(batch);
        let chosen = order(seed, epoch, images.store.count);
        let indices: Vec<u32> = chosen[..batch].iter().map(|&i| i as u32).collect();
        let (mean, std, out) = (images.mean, images.std, self.config.data.image_size as u32);
        let (size, channels) = (images.store.size, images.store.channels);
        let inner = StoreViews { store: &images.store, seed, out, mean, std };
        let (mut state, mut params, mut shown) = (images.resident.clone(), Params::new(), Shown::new(count, batch));
        let steps = images.store.count / batch;
        let epochs = method.optimization.epochs.max(epoch + 1);
        let at = Progress { seed, epoch, epochs, step: 0, steps, repeat: 0, before: 0 };
        let mut tape = Tape::new();
        let wanted = tape.input("indices", Type::u32([batch]))?;
        let of = |mean, std| Augmentation { recipe: Recipe::PLAIN, mean, std };
        let plain = of(mean, std).plain(&mut tape, &images.store, wanted, out)?;
        // Whole images, at their own size and not normalized, have their bytes over 255 as values.
        let bytes = of([0.0; 3], [1.0; 3]).plain(&mut tape, &images.store, wanted, size as u32)?;
        let read = self.values((tape, inner.store), &[plain, bytes], &state, (&indices, epoch), &Own::default())?;
        shown.images(&read[0]);
        for turn in method.method.turns() {
            let (seen, drawn) = self.turn((&method, &turn, at), &inner, &indices, (&mut state, &mut params))?;
            shown.turn(&seen, &drawn);
        }
        Ok(ViewSheet {
            indices: indices[..count].to_vec(),
            stored: interleaved(&read[1].1[..count * channels * size * size], channels, size * size),
            stored_dims: [count, size, size, channels],
            seen: shown.parts,
            mean,
            std,
        })
    }

    /// Takes a turn. Returns what each pass of the backbone sees, and each view that was made. Views in another order
    /// of the images are put in the order of `indices`.
    fn turn(
        &self,
        (method, turn, at): (&Pretrained, &Turn, Progress),
        inner: &StoreViews<'_>,
        indices: &[u32],
        (state, params): (&mut State, &mut Params),
    ) -> Result<(Vec<Values>, Vec<Drawn>)> {
        let (mut tape, batch) = (Tape::new(), indices.len());
        let given = tape.input("indices", Type::u32([batch]))?;
        let views = Aligned { inner, indices: given, made: Mutex::default() };
        let backbone = Watched { inner: method.backbone.as_ref(), seen: Mutex::default() };
        let mut r = Recorder {
            t: &mut tape,
            params,
            backbone: &backbone,
            recipe: &method.augmentation,
            batch,
            indices: given,
            views: &views,
            mode: Mode::Train,
        };
        method.method.record(turn, &mut r)?;
        let own = (method.inputs(at, indices, inner.out as usize), method.method.scalars(at));
        let made = views.made.into_inner().unwrap_or_else(PoisonError::into_inner);
        let inputs = backbone.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        let aligned = |x: Var| made.iter().find(|m| m.given == x).map_or(x, |m| m.aligned);
        let mut vars: Vec<Var> = inputs.into_iter().map(aligned).collect();
        let passes = vars.len();
        vars.extend(made.iter().flat_map(|m| [m.aligned].into_iter().chain(m.told.iter().map(|t| t.values))));
        params.fill(self.gpu, state, at.seed)?;
        state.insert_missing(self.gpu, &tape.state_types())?;
        let mut read = self.values((tape, inner.store), &vars, state, (indices, at.epoch), &own)?.into_iter();
        let seen = read.by_ref().take(passes).collect();
        let told = |m: &Made| Some((read.next()?, m.told.iter().map(|t| t.columns).zip(read.by_ref()).collect()));
        Ok((seen, made.iter().map_while(told).collect()))
    }

    /// Runs a tape and reads these of its values, each with its shape.
    fn values(
        &self,
        (mut tape, store): (Tape, &ImageStore),
        vars: &[Var],
        state: &State,
        (indices, epoch): (&[u32], usize),
        own: &Own,
    ) -> Result<Vec<Values>> {
        let dims = |v: &Var| tape.shape(*v).dims().iter().map(|&d| d as usize).collect::<Vec<_>>();
        let dims: Vec<Vec<usize>> = vars.iter().map(dims).collect();
        vars.iter().enumerate().for_each(|(i, var)| tape.output(&format!("seen{i}"), *var));
        // What the step would do to the weights and statistics is not wanted, nor the pass of the network that it takes.
        tape.forget_assigns();
        let schedule = self.schedule(&tape)?;
        let mut feed = Feed::new();
        for name in &schedule.scalars {
            let value = scalar(name, epoch_alone(epoch), &own.1);
            feed = value.into_iter().fold(feed, |feed, value| feed.scalar(name, value));
        }
        let named = |name: &str| schedule.inputs.iter().any(|i| i.0 == name);
        if named("indices") {
            feed = feed.input("indices", indices);
        }
        feed.inputs.extend(own.0.iter().filter(|o| named(o.0)).map(|(n, b)| (*n, b.as_slice())));
        let images = store.steps(std::iter::once(indices.to_vec()))?.next(&|note| self.progress.note(note))?;
        images.iter().for_each(|images| images.feed(&mut feed, 0..indices.len(), &named));
        let plan = Plan::new(self.gpu, schedule.clone(), state)?;
        plan.run(self.gpu, &feed)?;
        dims.into_iter().enumerate().map(|(i, d)| Ok((d, plan.read_f32(self.gpu, &format!("seen{i}"))?))).collect()
    }
}

/// A method's inputs and scalars.
type Own = (Vec<(&'static str, Vec<u8>)>, Vec<(&'static str, f32)>);

/// Makes views and keeps them.
struct Aligned<'a> {
    inner: &'a StoreViews<'a>,
    indices: Var,
    made: Mutex<Vec<Made>>,
}

/// A view.
struct Made {
    /// The view as the method got it.
    given: Var,
    /// The view in the order of the step's images. It differs if the method asked for another order.
    aligned: Var,
    /// What was drawn for the view, in that order.
    told: Vec<Told>,
}

impl Views for Aligned<'_> {
    fn view(&self, t: &mut Tape, indices: Var, i: u32, recipe: &Recipe) -> Result<Var> {
        let (aligned, told) = self.inner.told_view(t, self.indices, i, recipe)?;
        let given = if indices == self.indices { aligned } else { self.inner.view(t, indices, i, recipe)? };
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(Made { given, aligned, told });
        Ok(given)
    }
}

/// A backbone that keeps what it is given.
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

    /// Each view has its random draws, and two views of a method have different draws.
    fn told(method: &str, sheet: &ViewSheet) {
        let part = |i: usize| &sheet.seen[i];
        let of = |i: usize, name: &str| {
            part(i).drawn.iter().find(|d| d.name == name).map(|d| d.values.clone()).unwrap_or_default()
        };
        assert!(part(0).drawn.is_empty(), "{method}: nothing is drawn for the images as they are");
        for i in 1..sheet.seen.len() {
            let crop = of(i, "crop");
            let inside = |c: &[f32]| c[0] + c[2] <= 18.0 && c[1] + c[3] <= 18.0 && c[2].min(c[3]) >= 1.0;
            assert!(
                crop.len() == 12 && crop.chunks(4).all(inside) && of(i, "flip").len() == 3,
                "{method}: {:?}",
                part(i)
            );
            let each = |d: &DrawnNumbers| d.values.len() == 3 * d.columns && d.values.iter().all(|v| v.is_finite());
            assert!(part(i).drawn.iter().all(each), "{method}");
        }
        let pair = ["simclr", "moco", "byol"].contains(&method);
        assert_eq!(pair, sheet.seen.len() == 3 && of(1, "crop") != of(2, "crop"), "{method}");
        if pair {
            assert!(of(1, "jitter_order").len() == 12 && of(2, "jitter_factors").len() == 12, "{method}");
        }
        let solarized = [1, 2].map(|i| if pair { of(i, "solarize").len() } else { 0 });
        assert_eq!(solarized, if method == "byol" { [0, 3] } else { [0, 0] }, "{method}: by the recipe of each view");
    }

    #[test]
    fn a_sheet_shows_what_each_method_s_network_sees() {
        let spec = "phantom:covid?train=24&val=8&test=9";
        let text = "[data]\nstore_size = 18\nimage_size = 18\n[model]\nwidth = 0.0625\n[pretraining]\nbatch_size = 8\n\
                    moco.queue_size = 16\nmoco.batch_norm_splits = 2\nmoco.projection_dims = [16, 8]\n";
        with_job(text, &Silent, |job| {
            let of = |job: &Job<'_>, method: &str| job.views(spec, method, (0, 0), 3).unwrap();
            // The image, and what the network sees: two views, four turns, nine tiles, a query and a key. BYOL's target
            // sees no further view.
            let all = [("simclr", 3), ("rotation", 5), ("jigsaw", 10), ("moco", 3), ("byol", 3), ("vae", 2)];
            for (method, parts) in all {
                let sheet = of(job, method);
                let names: Vec<&str> = sheet.seen.iter().map(|s| s.name.as_str()).collect();
                assert!(sheet.seen.len() == parts && names[..2] == ["images", "view0"], "{method}: {names:?}");
                assert!(
                    sheet.seen.iter().all(|s| s.dims[0] == 3 && s.values.len() == s.dims.iter().product::<usize>())
                );
                told(method, &sheet);
                assert!(sheet.png().unwrap().starts_with(b"\x89PNG") && sheet.npz().unwrap().starts_with(b"PK"));
            }
            assert_eq!(of(job, "simclr"), of(job, "simclr"));
            assert_ne!(of(job, "simclr").seen[1], job.views(spec, "simclr", (0, 1), 3).unwrap().seen[1]);
            // A key network sees the images in another order. The sheet shows each view in its image's row.
            let off = super::super::Config::parse("t", &format!("{text}[augmentation]\noff = true\n")).unwrap();
            let job = Job { config: &off, kernels: Default::default(), ..*job };
            let sheet = of(&job, "moco");
            assert!(sheet.seen.len() == 2 && sheet.seen[1].values == sheet.seen[0].values, "off: one view, the image");
            assert!(sheet.seen[1].drawn.is_empty(), "and nothing is drawn");
            // A gray image that is stored and shown at the same size equals its bytes.
            let level = |v: &f32| (255.0 * (v * sheet.std[0] + sheet.mean[0])).round() as u8;
            assert!(sheet.stored_dims == [3, 18, 18, 1] && sheet.seen[0].values.iter().map(level).eq(sheet.stored));
            let turned = of(&job, "rotation");
            let (image, half) = (&turned.seen[0].values[..18 * 18], &turned.seen[3].values[..18 * 18]);
            assert!(image.iter().eq(half.iter().rev()), "half a turn");
            // Masks of patches are drawn for as many images as the recorded step has.
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
            // The network does not run: its maps of 256 images (256 MiB each) are more than the adapter binds.
            let large = "[data]\nstore_size = 64\nimage_size = 64\n[pretraining]\nbatch_size = 256\n";
            let large = super::super::Config::parse("t", large).unwrap();
            let job = Job { config: &large, kernels: Default::default(), ..job };
            let sheet = job.views("phantom:covid?train=256&val=8&test=8", "simclr", (0, 0), 3).unwrap();
            assert_eq!(sheet.seen[1].dims, [3, 1, 64, 64]);
        });
    }
}
