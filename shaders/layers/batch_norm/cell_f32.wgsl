// A cell is one element: for planes of any size.

alias Cell = f32;
const WIDTH = 1.0;

fn total(v: Cell) -> f32 {
    return v;
}
