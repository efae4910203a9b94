//! nn: models as functions that record on a tape, their parameters and how those begin, optimizers and schedules,
//! checkpoints. Names and shapes of parameters are torchvision's, of transformers timm's.

pub mod checkpoint;
mod foreign;
pub mod init;
pub mod optimizer;
pub mod projection;
pub mod resnet;
pub mod schedule;
pub mod step;
pub mod vit;
pub mod weights;

pub use init::{Init, Params};
pub use optimizer::Optimizer;
pub use resnet::{Mode, ResNet, Stem};
pub use vit::Vit;
