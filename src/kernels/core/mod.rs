//! core: what ops share: products, gathers, windows, walks, orders, draws, endings. Nothing here names an op.

pub(crate) mod contrast;
pub(crate) mod conv2d_gather;
pub(crate) mod conv2d_pack;
pub(crate) mod conv2d_pass;
pub(crate) mod conv2d_route;
pub(crate) mod conv2d_taps;
pub(crate) mod conv2d_winograd;
pub mod draw;
pub mod epilogue;
pub(crate) mod gemm;
pub(crate) mod held;
pub(crate) mod lanes;
pub mod many;
pub(crate) mod matmul_f16;
pub(crate) mod norm;
pub(crate) mod order;
pub(crate) mod pool;
pub mod row_loss;
pub(crate) mod strided;
pub(crate) mod tiles;
pub(crate) mod walk;
