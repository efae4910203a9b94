//! elementwise: the references of src/kernels/elementwise/.

pub mod binary;
pub mod unary;

references! {
    cast,
    fill,
    increment,
    random,
    scale,
    select,
}
