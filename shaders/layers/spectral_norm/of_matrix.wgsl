// What the rows of dy are multiplied by for ⟨dy, W⟩: by the rows of the weight.

struct Params { rows: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read> weight: array<V>;
@group(0) @binding(3) var<storage, read_write> dots: array<f32>;

fn other(row: u32, k: u32) -> V {
    return weight[row * p.vectors + k];
}

fn times(row: u32, sum: f32) -> f32 {
    return sum;
}
