//! A step of SimCLR as the study pretrains (src/study/pretrain.rs), with the strengths of configs/base.toml.

use wgslab::base::Result;
use wgslab::data::augment::StoreViews;
use wgslab::data::store::ImageStore;
use wgslab::nn::optimizer::Limits;
use wgslab::nn::{Mode, Optimizer, Params, Precision, Recorder, ResNet, Turn};
use wgslab::ssl::{Method, simclr::SimClr};
use wgslab::study::Config;
use wgslab::tape::{Tape, Type};

/// Records a step on `batch` images of `store`, of which the network sees squares of `out` pixels.
pub fn record(
    store: &ImageStore,
    backbone: &ResNet,
    batch: usize,
    out: u32,
    precision: Precision,
) -> Result<(Tape, Params)> {
    let recipe = Config::parse("built in", "").map(|c| c.augmentation)?;
    let (mut t, mut params) = (Tape::new(), Params::of(precision));
    let indices = t.input("indices", Type::u32([batch]))?;
    let views = StoreViews { store, seed: 0, out, mean: [0.5; 3], std: [0.25; 3] };
    let mut r = Recorder {
        t: &mut t,
        params: &mut params,
        backbone,
        recipe: &recipe,
        batch,
        indices,
        views: &views,
        mode: Mode::Train,
    };
    let loss = SimClr { temperature: 0.5, projection_dims: [512, 128] }.record(&Turn::ONLY, &mut r)?.total;
    let limits = Limits { loss_scale: precision.loss_scale(), ..Limits::default() };
    Optimizer::adam(1e-4).minimize_within(&mut t, loss, &params.trained(), limits)?;
    t.output("loss", loss);
    Ok((t, params))
}
