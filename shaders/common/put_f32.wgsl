// What a kernel makes, a cell at a time, in f32 or in words. `taken` gives what lies there. Its twins are put_half.wgsl and
// put_halves.wgsl.

@group(0) @binding($MADE) var<storage, read_write> made: array<Cell>;

fn put(i: u32, v: Cell) {
    made[i] = v;
}

fn taken(i: u32) -> Cell {
    return made[i];
}
