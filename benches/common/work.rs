//! What benches/step.rs trains: the recording of a step and the inputs of each.

use crate::Arguments;
use wgslab::base::Result;
use wgslab::base::rng::Rng;
use wgslab::data::augment::Augmentation;
use wgslab::data::store::ImageStore;
use wgslab::device::Gpu;
use wgslab::nn::step::TrainingStep;
use wgslab::nn::{Optimizer, Params, ResNet, Stem, Vit};
use wgslab::ssl::simclr::SimClr;
use wgslab::tape::{Feed, State, Tape, Type};

const CLASSES: usize = 10;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    /// With the 3×3 stem; SGD with momentum.
    Resnet18,
    /// ViT-Ti; AdamW.
    Vit,
    /// The same ResNet, two augmented views of each image, NT-Xent, Adam.
    Simclr,
}

impl Model {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Model::Resnet18 => "resnet18",
            Model::Vit => "vit",
            Model::Simclr => "simclr",
        }
    }
}

/// A recorded step and what it is fed.
pub struct Work {
    /// The step; its output is `loss`.
    pub tape: Tape,
    /// Its parameters.
    pub params: Params,
    /// Its inputs.
    pub inputs: Inputs,
}

/// The inputs of steps.
pub enum Inputs {
    /// The same images each time.
    Labelled { images: Vec<f32>, labels: Vec<u32>, weights: Vec<f32> },
    /// The next images of a shuffled epoch.
    Shuffled { order: Vec<u32>, batch: usize },
}

impl Inputs {
    /// Those of step `i`.
    pub fn feed(&self, i: usize) -> Feed<'_> {
        match self {
            Inputs::Labelled { images, labels, weights } => {
                let feed = Feed::new().input("images", images).input("labels", labels);
                feed.input("weights", weights).scalar("lr", 0.05)
            }
            Inputs::Shuffled { order, batch } => {
                let from = i * batch % (order.len() + 1 - batch);
                Feed::new().input("indices", &order[from..from + batch]).scalar("epoch", 0.0).scalar("lr", 1e-3)
            }
        }
    }
}

impl Work {
    /// Records the step that `a` asks for; images that lie on the device go into `state`.
    pub fn record(gpu: &Gpu, state: &mut State, a: &Arguments) -> Result<Work> {
        let resnet = ResNet { stem: Stem::Small, width: a.width, in_channels: a.channels };
        let (tape, params) = match a.model {
            Model::Resnet18 => {
                TrainingStep { model: resnet, batch: a.batch, size: a.size, classes: CLASSES }.record()?
            }
            Model::Vit => vit(a)?,
            Model::Simclr => return simclr(gpu, state, resnet, a),
        };
        let mut rng = Rng::new(0, 0, 0);
        let images = (0..a.batch * a.channels * a.size * a.size).map(|_| rng.normal()).collect();
        let labels = (0..a.batch).map(|_| rng.below(CLASSES) as u32).collect();
        Ok(Work { tape, params, inputs: Inputs::Labelled { images, labels, weights: vec![1.0; a.batch] } })
    }
}

fn vit(a: &Arguments) -> Result<(Tape, Params)> {
    let (mut t, mut params) = (Tape::new(), Params::new());
    let x = t.input("images", Type::f32([a.batch, a.channels, a.size, a.size]))?;
    let labels = t.input("labels", Type::u32([a.batch]))?;
    let weights = t.input("weights", Type::f32([a.batch]))?;
    let model = Vit::tiny(a.patch, a.channels);
    let features = model.forward(&mut t, &mut params, "", x)?;
    let logits = model.classify(&mut t, &mut params, "", features, CLASSES)?;
    let [loss, _, _] = t.cross_entropy(logits, labels, weights)?;
    Optimizer::adamw(0.05).minimize(&mut t, loss, &params.trained())?;
    t.output("loss", loss);
    Ok((t, params))
}

/// As the study pretrains, with the strengths of configs/base.toml.
fn simclr(gpu: &Gpu, state: &mut State, backbone: ResNet, a: &Arguments) -> Result<Work> {
    let mut rng = Rng::new(0, 0, 0);
    let pixels: Vec<u8> = (0..a.images * a.channels * a.size * a.size).map(|_| rng.below(256) as u8).collect();
    let store = ImageStore::upload(gpu, state, "train", &pixels, [a.size, a.channels], None)?;
    let augmentation = Augmentation {
        crop_scale: [0.2, 1.0],
        crop_ratio: [0.75, 4.0 / 3.0],
        flip_probability: 0.5,
        jitter_probability: 0.8,
        jitter: [0.8, 0.8, 0.8, 0.2],
        grayscale_probability: 0.2,
        blur_probability: 0.5,
        blur_sigma: [0.1, 2.0],
        mean: [0.5; 3],
        std: [0.25; 3],
    };
    let (mut t, mut params) = (Tape::new(), Params::new());
    let indices = t.input("indices", Type::u32([a.batch]))?;
    let size = a.size as u32;
    let views = [
        t.layer("view0", |t| augmentation.view(t, &store, indices, 0, 0, size))?,
        t.layer("view1", |t| augmentation.view(t, &store, indices, 1, 0, size))?,
    ];
    let method = SimClr { temperature: 0.5, hidden: 512, out: 128 };
    let loss = method.loss(&mut t, &mut params, &backbone, views)?;
    Optimizer::adam(1e-4).minimize(&mut t, loss, &params.trained())?;
    t.output("loss", loss);
    let order = rng.permutation(a.images).into_iter().map(|i| i as u32).collect();
    Ok(Work { tape: t, params, inputs: Inputs::Shuffled { order, batch: a.batch } })
}
