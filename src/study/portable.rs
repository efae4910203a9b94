//! A pretraining as data that runs without this program: its recordings for any browser, the first values of its
//! tensors, its images, and the numbers of each step. A page of `wgslab export step` goes through it.

use super::config::Pretrained;
use super::dataset::Loaded;
use super::folder::object;
use super::pass::{Eye, plain_pass};
use super::pretrain::{self, batch_for, batches};
use super::session::Job;
use super::stage::add_missing;
use super::start::{Beginning, Begun, backbone_metadata};
use super::turns::{Recorded, common, ring_of, scalar};
use crate::base::{Error, Result};
use crate::data::augment::{Augmentation, StoreViews};
use crate::data::store::ImageStore;
use crate::device::Caps;
use crate::kernels::fuse;
use crate::nn::{GlobalPool, Mode, Params, Progress, Recipe, Recorder, Views, backbone, checkpoint};
use crate::ssl;
use crate::tape::{Options, Recording, Schedule, State, Tape, Type, Var};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

#[cfg(test)]
mod tests;

/// The most bytes of images and weights. A page holds them as text, and browsers bound the length of a text. Chromium 148
/// opened a page with 200,052,736 of them, in 246 MB of text.
const MOST_BYTES: usize = 190 << 20;

/// The most bytes of a binding that adapters offer to browsers beyond WebGPU's default of 128 MiB.
const LARGEST_BINDING: u64 = (1 << 31) - 4;

/// The lanes that subgroups of a software adapter must have to run its recording: those that Mesa's have.
const LANES: u32 = 8;

/// How many images the recording of views shows.
const SHOWN: usize = 6;

/// The scalars that whoever replays counts: the epoch, the row of the ring, and how often a turn was taken.
const COUNTED: [&str; 3] = ["epoch", "ring_row", "repeat"];

/// A pretraining as data.
#[derive(Clone, Debug, Serialize)]
pub struct Portable {
    /// What it is, for people.
    pub name: String,
    /// The dataset.
    pub dataset: String,
    /// The method.
    pub method: String,
    /// What the method does, in a few words.
    pub idea: &'static str,
    /// The backbone.
    pub model: String,
    /// The seed of weights, batches and views: its low word, then its high one.
    pub seed: [u32; 2],
    /// The number of training images. They come first in the images that `eye` sees.
    pub images: usize,
    /// Images in a step.
    pub batch: usize,
    /// Passes over the images.
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// The state with the losses of the last steps: a row for each, [`Portable::columns`] numbers wide.
    pub ring: String,
    /// Rows of the ring. Step `i` of an epoch is in row `i` modulo this.
    pub slots: usize,
    /// What a row holds; the loss comes first.
    pub columns: Vec<String>,
    /// The scalars of each step, by name, besides the epoch and the row. A number that never changes is there once.
    pub scalars: BTreeMap<String, Vec<f64>>,
    /// The step of training, for any adapter.
    pub step: Recording,
    /// The same step, as the program runs it on a software adapter whose subgroups have exactly [`Portable::lanes`]; none
    /// where it binds more than adapters offer.
    pub step_in_software: Option<Recording>,
    /// The lanes of a subgroup that [`Portable::step_in_software`] counts on.
    pub lanes: u32,
    /// The views of some images: the outputs `view0`, `view1`, … and the images as they are, `image`.
    pub views: Recording,
    /// The features of images, of those for training and those for testing alike.
    pub eye: Recording,
    /// Channels, rows and columns of a view.
    pub view_dims: [usize; 3],
    /// What was subtracted from each channel of a view, as a share of 255.
    pub mean: [f32; 3],
    /// What each channel was then divided by.
    pub std: [f32; 3],
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The class of each training image, then of each test image.
    pub labels: Vec<u32>,
    /// How many neighbours vote on the class of a test image.
    pub neighbours: usize,
    /// The tensors that are not zero at first, and where their bytes lie in [`Portable::bytes`].
    pub tensors: Vec<Held>,
    /// The head of the file of the backbone, and what follows it there.
    pub file: BackboneFile,
    /// Values of tensors, and the head of the file.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// A tensor's bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// The name of the state.
    pub name: String,
    /// Where its bytes begin.
    pub at: usize,
    /// How many there are.
    pub bytes: usize,
}

/// A file of safetensors whose values come from a device.
#[derive(Clone, Debug, Serialize)]
pub struct BackboneFile {
    /// Where its head begins in [`Portable::bytes`].
    pub at: usize,
    /// How many bytes the head takes.
    pub bytes: usize,
    /// The names of the states whose values follow, one after another. In the place of none, the number of steps
    /// follows, as an i64.
    pub values: Vec<Option<String>>,
}

impl Job<'_> {
    /// The pretraining on the images of `spec` as data. It trains nothing. It is an error if the method takes more than a
    /// recording, images and scalars. A step past the default limits of WebGPU is told as a note.
    pub fn portable(&self, spec: &str, method: &str, seed: u64) -> Result<Portable> {
        let idea = ssl::method(method)?.about;
        self.expect_replayable(method)?;
        let method = self.config.pretraining_of(method)?;
        let begun = Begun::read(self.config, self.data_root, Beginning::Config)?;
        begun.expect_model(&method.model)?;
        let set = self.load(spec)?;
        let batch = batch_for(&method, set.train.store.count)?;
        if set.train.store.streamed.is_some() || set.test.streamed.is_some() {
            return refused(
                &method.name,
                "a page holds all images, and these stream from disk; take fewer or raise data.resident_bytes",
            );
        }
        let turn = one_recording(&method, pretrain::record(self, &set.train, &method, seed, batch)?)?;
        let (tape, eyes) = (&turn.tapes[0].0, self.eyes(&set)?);
        let (step, mut past) = self.portable_recording(tape, &Caps::portable())?;
        let software = Caps { software: true, subgroup: Some((LANES, LANES)), ..Caps::portable() };
        let step_in_software = self.within_reach(tape, &software)?.ok().map(|(recording, _)| recording);
        let eye = Eye::new(method.backbone.clone(), set.train.mean, set.train.std);
        let at_once = self.config.evaluation.batch_size.min(eyes.0.count);
        let (eye, also) = self.portable_recording(&plain_pass(self, &eye, &eyes.0, at_once)?, &Caps::portable())?;
        past = past.or(also);
        let mut state = set.train.resident.clone();
        begun.load(self, method.backbone.as_ref(), &mut state, std::slice::from_ref(&turn))?;
        turn.params.fill(self.gpu, &mut state, seed)?;
        add_missing(self.gpu, &mut state, tape)?;
        let views = self.views_tape(&method, &set, seed, batch.min(SHOWN))?;
        let (views, also) = self.portable_recording(&views, &Caps::portable())?;
        if let Some(why) = past.or(also) {
            self.progress.note(&format!(
                "warning: a browser trains this only where its adapter offers more than WebGPU's default limits: {why}"
            ));
        }
        let steps = batches(set.train.store.count, batch).steps();
        let (tensors, mut bytes) = self.held(&step, &eye, &state, &eyes)?;
        let name = backbone_metadata(self, &set.train, (&method.name, &method.model), &[], "");
        let metadata =
            object(serde_json::Value::Object(name.into_iter().filter(|(key, _)| key != "address").collect()));
        let (head, values) = checkpoint::backbone_head(&step.state_types(), "backbone.", &metadata)?;
        let file = BackboneFile { at: bytes.len(), bytes: head.len(), values };
        bytes.extend(head);
        let (channels, side) = (set.train.store.channels, self.config.data.image_size);
        Ok(Portable {
            name: format!("{} on {}, seed {seed}", method.name, set.data.name),
            dataset: set.data.name.clone(),
            method: method.name.clone(),
            idea,
            model: method.model.to_string(),
            seed: [seed as u32, (seed >> 32) as u32],
            images: set.train.store.count,
            batch,
            epochs: method.optimization.epochs,
            steps,
            ring: ring_of(&turn.turn),
            slots: self.config.run.loss_every,
            columns: turn.columns.clone(),
            scalars: self.numbers(&method, &step, (seed, batch, steps))?,
            step,
            step_in_software,
            lanes: LANES,
            views,
            eye,
            view_dims: [channels, side, side],
            mean: set.train.mean,
            std: set.train.std,
            classes: set.data.classes.clone(),
            labels: set.data.train.labels.iter().chain(&set.data.test.labels).copied().collect(),
            neighbours: self.config.evaluation.knn_neighbours,
            tensors,
            file,
            bytes,
        })
    }

    /// An error, before any image is loaded, if steps of the method take more than images and scalars or several turns.
    /// It is asked on every backbone and at a usual size of images, so that nobody is told first to take another backbone
    /// or size for a method that is refused anyway.
    fn expect_replayable(&self, name: &str) -> Result<()> {
        let first = Progress { seed: 0, epoch: 0, epochs: 1, step: 0, steps: 1, repeat: 0, before: 0 };
        // A ResNet's config lacks the keys of a vision transformer.
        let mut config = self.config.clone();
        config.model.patch_size.get_or_insert(16);
        config.model.global_pool.get_or_insert(GlobalPool::Token);
        let backbones = self.config.grid_backbones().into_iter().chain(backbone::names());
        for method in backbones.filter_map(|arch| config.pretraining_read(name, arch).ok()) {
            if !method.inputs(first, &[0; 2], 224).is_empty() {
                return refused(
                    name,
                    "its steps read more than images and scalars; take another method, such as simclr",
                );
            }
            if !matches!(&method.method.turns()[..], [turn] if turn.repeats == 1) {
                return refused(name, "its step takes several turns; take a method of one turn, such as simclr");
            }
        }
        Ok(())
    }

    /// The recording of a tape for an adapter that can do what `caps` says, and what of it passes `caps`, in a sentence,
    /// if something does. The portable variants are those for a GPU, because visitors have one; a software adapter runs
    /// them, too.
    fn portable_recording(&self, tape: &Tape, caps: &Caps) -> Result<(Recording, Option<String>)> {
        self.within_reach(tape, caps)?.map_err(|why| {
            Error::Usage(format!(
                "the step passes what adapters offer to browsers: {why}; use a smaller batch, image or model"
            ))
        })
    }

    /// The same, or what of the tape passes all that adapters offer to browsers.
    fn within_reach(
        &self,
        tape: &Tape,
        caps: &Caps,
    ) -> Result<std::result::Result<(Recording, Option<String>), String>> {
        let options = Options { recompute: self.config.run.recompute, ..fuse::options(caps) };
        let schedule = Schedule::new(tape, &options)?;
        if let Some(why) = schedule.past_limits(&Caps { binding_bytes: LARGEST_BINDING, ..caps.clone() }) {
            return Ok(Err(why));
        }
        Ok(Ok((Recording::of(&schedule, self.gpu.tree())?, schedule.past_limits(caps))))
    }

    /// The training images and after them the test images, as one store.
    fn eyes(&self, set: &Loaded) -> Result<(ImageStore, State)> {
        let (data, mut state) = (&set.data, State::new());
        let pixels = [data.train.all()?, data.test.all()?].concat();
        let dims = [data.train.height, data.train.channels];
        let store =
            ImageStore::upload(self.gpu, &mut state, "eye", &pixels, dims, Some(Caps::portable().binding_bytes))?;
        match store.pages {
            1 => Ok((store, state)),
            _ => Err(Error::Usage(format!(
                "the images of {} take {} MiB, and a page of the default limits binds {}; take fewer, or a smaller \
                 store_size",
                data.name,
                pixels.len() >> 20,
                Caps::portable().binding_bytes >> 20
            ))),
        }
    }

    /// What a step makes of `shown` images before the network sees them.
    fn views_tape(&self, method: &Pretrained, set: &Loaded, seed: u64, shown: usize) -> Result<Tape> {
        let (mean, std, out) = (set.train.mean, set.train.std, self.config.data.image_size as u32);
        let inner = StoreViews { store: &set.train.store, seed, out, mean, std };
        let noted = Noted { inner: &inner, asked: Mutex::default() };
        let (mut tape, mut params) = (Tape::new(), Params::new());
        let indices = tape.input("indices", Type::u32([shown]))?;
        let mut r = Recorder {
            t: &mut tape,
            params: &mut params,
            backbone: method.backbone.as_ref(),
            recipe: &method.augmentation,
            batch: shown,
            indices,
            views: &noted,
            mode: Mode::Train,
        };
        method.method.record(&method.method.turns()[0], &mut r)?;
        let asked = noted.asked.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut t = Tape::new();
        let indices = t.input("indices", Type::u32([shown]))?;
        let plain = Augmentation { recipe: Recipe::PLAIN, mean, std }.plain(&mut t, &set.train.store, indices, out)?;
        t.output("image", plain);
        for (i, recipe) in asked {
            let view = inner.view(&mut t, indices, i, &recipe)?;
            t.output(&format!("view{i}"), view);
        }
        Ok(t)
    }

    /// The bytes of the tensors that `step` and `eye` begin with, images included, without those that are all zero. A
    /// device takes whole words, so that a tensor of bytes may end in some of what follows it.
    fn held(&self, step: &Recording, eye: &Recording, state: &State, eyes: &(ImageStore, State)) -> Result<Bytes> {
        let (mut tensors, mut bytes, mut images) = (Vec::new(), Vec::new(), Vec::new());
        let mut hold = |name: &str, at: usize, length: usize| {
            tensors.push(Held { name: name.to_string(), at, bytes: length.next_multiple_of(4) });
        };
        for named in eye.states.iter().filter(|named| eyes.1.ty(&named.name).is_some()) {
            images = eyes.1.read(self.gpu, &named.name)?;
            hold(&named.name, 0, images.len());
            bytes.extend(&images);
        }
        for named in &step.states {
            let value = state.read(self.gpu, &named.name)?;
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            // The training images are the first of all images.
            if !value.is_empty() && images.starts_with(&value) {
                hold(&named.name, 0, value.len());
            } else if value.iter().any(|byte| *byte != 0) {
                hold(&named.name, bytes.len(), value.len());
                bytes.extend(value);
            }
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        match bytes.len() <= MOST_BYTES {
            true => Ok((tensors, bytes)),
            false => Err(Error::Usage(format!(
                "images and weights take {} MiB, and a page holds at most {}; take fewer images or a smaller model",
                bytes.len() >> 20,
                MOST_BYTES >> 20
            ))),
        }
    }

    /// The scalars of each step that whoever replays cannot count.
    fn numbers(
        &self,
        method: &Pretrained,
        step: &Recording,
        (seed, batch, steps): (u64, usize, usize),
    ) -> Result<BTreeMap<String, Vec<f64>>> {
        let optimization = method.optimization.for_batch(batch);
        let epochs = optimization.epochs;
        let mut all = BTreeMap::new();
        for name in step.scalars.iter().filter(|name| !COUNTED.contains(&name.as_str())) {
            let mut values = Vec::new();
            for (epoch, at) in (0..epochs).flat_map(|epoch| (0..steps).map(move |at| (epoch, at))) {
                let own =
                    method.method.scalars(Progress { seed, epoch, epochs, step: at, steps, repeat: 0, before: 0 });
                let lr = optimization.rate(epoch, at, steps);
                let value = scalar(name, common(&optimization, lr, [0; 3]), &own);
                let value = value.ok_or_else(|| Error::Failed(format!("nobody gives the scalar {name}")))?;
                values.push(f64::from(value));
            }
            if values.iter().all(|v| *v == values[0]) {
                values.truncate(1);
            }
            all.insert(name.clone(), values);
        }
        Ok(all)
    }
}

fn refused<T>(name: &str, why: &str) -> Result<T> {
    Err(Error::Usage(format!("{name} cannot be exported: {why}")))
}

/// The only turn of the method, whose step is one recording.
fn one_recording(method: &Pretrained, mut turns: Vec<Recorded>) -> Result<Recorded> {
    match (turns.pop(), turns.len()) {
        (Some(turn), 0) if turn.tapes.len() == 1 && turn.tapes[0].1 == 1 => Ok(turn),
        _ => refused(&method.name, "its step is several recordings; set micro_batch_size = 0"),
    }
}

/// Tensors, and the bytes that they lie in.
type Bytes = (Vec<Held>, Vec<u8>);

/// Makes views, and notes which a method asks for.
struct Noted<'a> {
    inner: &'a StoreViews<'a>,
    asked: Mutex<Vec<(u32, Recipe)>>,
}

impl Views for Noted<'_> {
    fn view(&self, t: &mut Tape, indices: Var, i: u32, recipe: &Recipe) -> Result<Var> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.iter().all(|a| a.0 != i) {
            asked.push((i, recipe.clone()));
        }
        self.inner.view(t, indices, i, recipe)
    }
}
