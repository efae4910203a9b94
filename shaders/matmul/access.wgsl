// Sizes and result of matmul for the gemm kernels: A [Z, M, K] and B [Z, K, N] lie at strides, so that one text serves
// all transposes; C is [Z, M, N], or one of its slices. `batch` is z.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    a_m: u32, a_k: u32, b_k: u32, b_n: u32, batches: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

fn c_at(m: u32, n: u32, slice: u32) -> u32 {
    return ((slice * p.batches + batch) * p.m + m) * p.n + n;
}

fn c_put(at: u32, v: f32) {
    c[at] = v;
}
