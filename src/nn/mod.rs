//! Models as functions that record on a tape, their parameters and initial values, optimizers and schedules,
//! checkpoints, and what methods of pretraining and training record through. Parameters have torchvision's names and
//! shapes, those of transformers timm's.

pub mod architecture;
pub mod backbone;
pub mod batch_norm;
pub mod checkpoint;
mod foreign;
pub mod init;
pub mod listed;
pub mod micro;
pub mod optimization;
pub mod optimizer;
mod positions;
pub mod precision;
mod prefix;
pub mod recipe;
pub mod recorder;
pub mod resnet;
pub mod schedule;
pub mod sequential;
pub mod step;
pub mod tensors;
mod torch;
pub mod transformer;
pub mod vit;
pub mod weights;

pub use backbone::{Backbone, Model};
pub use batch_norm::Mode;
pub use init::{Init, Params};
pub use micro::Micro;
pub use optimization::Optimization;
pub use optimizer::Optimizer;
pub use precision::Precision;
pub use recipe::Recipe;
pub use recorder::{Loss, Progress, Recorder, Turn, Views, apart};
pub use resnet::{Depth, ResNet, Stem};
pub use sequential::Layer;
pub use transformer::Transformer;
pub use vit::{GlobalPool, Vit};
