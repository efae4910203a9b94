// A cell is one element: for planes of any size.

alias Cell = f32;
const WIDTH = 1.0;

fn total(v: Cell) -> f32 {
    return v;
}

// Whether a number lies from −0 to −∞, and whether it is 0. On bits, since a driver may assume that no float is a NaN.
fn is_below(v: Cell) -> bool {
    return bitcast<u32>(v) - 0x80000000u <= 0x7f800000u;
}

fn is_zero(v: Cell) -> bool {
    return bitcast<u32>(v) == 0u;
}
