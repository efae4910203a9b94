// What the rows of the weight are multiplied by for sigma = uᵀ W v: by v, and the result by their element of u.

struct Params { rows: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read> u: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<V>;
@group(0) @binding(4) var<storage, read_write> dots: array<f32>;

fn other(row: u32, k: u32) -> V {
    return v[k];
}

fn times(row: u32, sum: f32) -> f32 {
    return u[row] * sum;
}
