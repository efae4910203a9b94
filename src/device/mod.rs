//! device: the only floor that uses wgpu. It opens an adapter, turns WGSL pieces into pipelines, owns buffers and
//! encodes launches. It does not know tensors or ops.

pub mod adapter;
pub mod buffer;
pub mod cooperative;
pub mod dispatch;
pub mod gpu;
mod kernel;
mod nesting;
pub mod pipeline;
pub mod shader;
#[cfg(feature = "cli")]
pub mod statistics;
mod template;
pub mod tie;
pub mod timing;
pub mod tree;
pub mod tune;
mod wgsl;

pub use adapter::{AdapterChoice, Caps};
pub use buffer::{Bound, Buffer, Part};
pub use cooperative::Cooperative;
pub use dispatch::{Dispatch, Encoded, Ticket, groups_1d};
pub use gpu::{Gpu, GpuOptions};
pub use kernel::{Kernel, Piece};
pub use template::ExpandedWgsl;
pub use timing::{Clocked, Timed};
pub use tree::Tree;
pub use wgsl::{Layout, Shader};
