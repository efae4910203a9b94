//! The steps that benches/step.rs times.

use crate::{Arguments, simclr};
use std::sync::Arc;
use wgslab::base::Result;
use wgslab::base::rng::Rng;
use wgslab::data::store::ImageStore;
use wgslab::device::Gpu;
use wgslab::nn::step::{MeasuredStep, TrainingStep};
use wgslab::nn::{Backbone, ResNet, Stem, Vit};
use wgslab::tape::State;

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
pub fn subject(gpu: &Gpu, a: &Arguments) -> Result<MeasuredStep<'static>> {
    let resnet = ResNet::resnet18(Stem::Small, a.width, a.channels);
    let labelled = |model: Arc<dyn Backbone>| {
        let Arguments { batch, size, precision, .. } = *a;
        precision.expect_taken(model.as_ref())?;
        Ok(TrainingStep { model, batch, size, classes: CLASSES, precision }.measured())
    };
    match a.model {
        Model::Resnet18 => labelled(Arc::new(resnet)),
        Model::Vit => labelled(Arc::new(Vit::tiny(a.patch, a.channels))),
        Model::Simclr => simclr(gpu, resnet, a),
    }
}

/// Every batch has the same images, because the choice of images does not change a step's time.
fn simclr(gpu: &Gpu, backbone: ResNet, a: &Arguments) -> Result<MeasuredStep<'static>> {
    let (mut rng, mut state) = (Rng::new(0, 0, 0), State::new());
    let pixels: Vec<u8> = (0..a.images * a.channels * a.size * a.size).map(|_| rng.below(256) as u8).collect();
    let store = ImageStore::upload(gpu, &mut state, "train", &pixels, [a.size, a.channels], None)?;
    let (batch, out, precision) = (a.batch, a.size as u32, a.precision);
    let name = format!("a step of SimCLR with resnet18 × {}", backbone.width);
    let indices: Vec<u32> = rng.permutation(a.images).into_iter().take(batch).map(|i| i as u32).collect();
    Ok(MeasuredStep {
        name,
        images: batch,
        record: Box::new(move || simclr::record(&store, &backbone, batch, out, precision)),
        state,
        inputs: vec![("indices", bytemuck::cast_slice(&indices).to_vec())],
        scalars: vec![("epoch".to_string(), 0.0), ("lr".to_string(), 1e-3)],
        recompute: false,
    })
}
