//! core: the references of src/kernels/core/.

pub mod row_loss;
