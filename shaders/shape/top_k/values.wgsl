// top_k: descending, so that the order of the keys is turned round; what stands past the first k places is dropped.

struct Params { rows: u32, length: u32, keep: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> indices: array<u32>;

fn key_of(i: u32) -> u32 {
    return ~key(x[i]);
}

fn put(row: u32, place: u32, at: u32, own: u32) {
    if (place < p.keep) {
        values[row * p.keep + place] = x[row * p.length + at];
        indices[row * p.keep + place] = at;
    }
}
