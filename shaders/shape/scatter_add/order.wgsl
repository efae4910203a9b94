// scatter_add.order: the indices sorted, and which row of x each of them belongs to; equal ones in their order in x.

struct Params { rows: u32, length: u32, keep: u32 } // keep: rows of y
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> sorted: array<u32>;
@group(0) @binding(3) var<storage, read_write> order: array<u32>;

fn key_of(i: u32) -> u32 {
    return min(indices[i], p.keep - 1u);
}

fn put(row: u32, place: u32, at: u32, own: u32) {
    sorted[place] = own;
    order[place] = at;
}
