// What arrives at the norm's output, through a relu that follows a sum of it: the cotangent d where the relu's output, which
// is what is known of the cell, is above 0 or NaN, else 0. It is never below.

@group(0) @binding(5) var<storage, read> kept: array<Held>;

fn known_at(i: u32) -> Cell {
    return got(kept[place(i)], i);
}

fn arriving(d: Cell, known: Cell, norm: vec2<f32>, centred: Cell) -> Cell {
    return select(d, Cell(), is_zero(known));
}
