//! elementwise: each element of y comes from the same element of the inputs, or from nothing but its place.

pub mod binary;
pub mod unary;

ops! {
    cast,
    fill,
    increment,
    random,
    scale,
    select,
}
