//! shape: elements move, are chosen or are summed over axes.

ops! {
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
