// ring: row scalars[slot] of the ring becomes the $COLUMNS values, in place; a row past the end is the last one.
// Values are copied as words: a flag of 1, read as a float, is denormal and might be flushed to zero.

struct Params { slots: u32, slot: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> ring: array<u32>;
@group(0) @binding(2) var<storage, read> scalars: array<f32>;
//@ for i in 3..END
@group(0) @binding($i) var<storage, read> value_$i: array<u32>;
//@ end

@compute @workgroup_size(1)
fn main() {
    let row = min(u32(max(scalars[p.slot], 0.0)), p.slots - 1u) * $COLUMNS;
    //@ for i in 3..END
    ring[row + $i - 3] = value_$i[0];
    //@ end
}
