//! shape: the references of src/kernels/shape/.

references! {
    broadcast,
    concat,
    gather,
    permute,
    rank,
    reduce,
    scatter_add,
    slice,
    top_k,
}
