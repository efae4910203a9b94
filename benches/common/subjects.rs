//! What benches/step.rs trains.

use crate::Arguments;
use wgslab::base::Result;
use wgslab::base::rng::Rng;
use wgslab::data::augment::Augmentation;
use wgslab::data::store::ImageStore;
use wgslab::device::Gpu;
use wgslab::nn::step::{Network, Subject, TrainingStep};
use wgslab::nn::{Optimizer, Params, ResNet, Stem, Vit};
use wgslab::ssl::simclr::SimClr;
use wgslab::tape::{State, Tape, Type};

const CLASSES: usize = 10;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// With the 3×3 stem; SGD with momentum
    Resnet18,
    /// ViT-Ti; AdamW
    Vit,
    /// The same ResNet, two augmented views of each image, NT-Xent, Adam
    Simclr,
}

/// The step that `a` asks for, on random images.
pub fn subject(gpu: &Gpu, a: &Arguments) -> Result<Subject<'static>> {
    let resnet = ResNet { stem: Stem::Small, width: a.width, in_channels: a.channels };
    let labelled = |model| TrainingStep { model, batch: a.batch, size: a.size, classes: CLASSES }.subject();
    match a.model {
        Model::Resnet18 => Ok(labelled(Network::ResNet(resnet))),
        Model::Vit => Ok(labelled(Network::Vit(Vit::tiny(a.patch, a.channels)))),
        Model::Simclr => simclr(gpu, resnet, a),
    }
}

/// As the study pretrains (src/study/pretrain.rs), with the strengths of configs/base.toml. Which images a batch has
/// changes no step's time, so all have the same.
fn simclr(gpu: &Gpu, backbone: ResNet, a: &Arguments) -> Result<Subject<'static>> {
    let (mut rng, mut state) = (Rng::new(0, 0, 0), State::new());
    let pixels: Vec<u8> = (0..a.images * a.channels * a.size * a.size).map(|_| rng.below(256) as u8).collect();
    let store = ImageStore::upload(gpu, &mut state, "train", &pixels, [a.size, a.channels], None)?;
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
    let (batch, size) = (a.batch, a.size as u32);
    let record = move || {
        let (mut t, mut params) = (Tape::new(), Params::new());
        let indices = t.input("indices", Type::u32([batch]))?;
        let views = [
            t.layer("view0", |t| augmentation.view(t, &store, indices, 0, 0, size))?,
            t.layer("view1", |t| augmentation.view(t, &store, indices, 1, 0, size))?,
        ];
        let method = SimClr { temperature: 0.5, hidden: 512, out: 128 };
        let loss = method.loss(&mut t, &mut params, &backbone, views)?;
        Optimizer::adam(1e-4).minimize(&mut t, loss, &params.trained())?;
        t.output("loss", loss);
        Ok((t, params))
    };
    let indices: Vec<u32> = rng.permutation(a.images).into_iter().take(batch).map(|i| i as u32).collect();
    Ok(Subject {
        name: format!("a step of SimCLR with resnet18 × {}", backbone.width),
        images: batch,
        record: Box::new(record),
        state,
        inputs: vec![("indices", bytemuck::cast_slice(&indices).to_vec())],
        scalars: vec![("epoch", 0.0), ("lr", 1e-3)],
    })
}
