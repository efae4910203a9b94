// rank: ascending, NaN last; y says which element of the row stands at each place.

struct Params { rows: u32, length: u32, keep: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

fn key_of(i: u32) -> u32 {
    return key(x[i]);
}

fn put(row: u32, place: u32, at: u32, own: u32) {
    y[row * p.keep + place] = at;
}
