// Sizes of a product of matrices that lie at strides, for the gemm kernels: A [Z, M, K] and B [Z, K, N] lie anyhow, so that
// one text serves all transposes, and a stride of 0 gives every product the same operand; C is [Z, M, N], or one of its
// slices. `batch` is z. Where C is put: layers/matmul/put.wgsl, layers/matmul/put_fours.wgsl.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    a_m: u32, a_k: u32, b_k: u32, b_n: u32,
    a_z: u32, b_z: u32, batches: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

fn depth(z: u32) -> u32 {
    return p.k;
}

fn c_row(m: u32, slice: u32) -> u32 {
    return ((slice * p.batches + batch) * p.m + m) * p.n;
}

fn c_column(n: u32) -> u32 {
    return n;
}
