// Operands of matmul for the gemm kernels: A [Z, M, K] and B [Z, K, N] at strides, so that one text serves all
// transposes. `batch` is z.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    a_m: u32, a_k: u32, b_k: u32, b_n: u32, batches: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

fn row_of(m: u32) -> u32 {
    return batch * p.m * p.k + m * p.a_m;
}

fn column_of(n: u32) -> u32 {
    return batch * p.n * p.k + n * p.b_n;
}

fn a_at(row: u32, k: u32) -> f32 {
    return a[row + k * p.a_k];
}

fn b_at(column: u32, k: u32) -> f32 {
    return b[column + k * p.b_k];
}

fn c_at(m: u32, n: u32, slice: u32) -> u32 {
    return ((slice * p.batches + batch) * p.m + m) * p.n + n;
}

fn c_put(at: u32, v: f32) {
    c[at] = v;
}
