// What arrives at the norm's output in cell i, through a relu that follows a sum of it: the cotangent where the relu's
// output is above 0 or NaN, else 0. It is passed on, since it is the gradient of the
// sum's other operand, too.

@group(0) @binding(5) var<storage, read> kept: array<Cell>;
@group(0) @binding(6) var<storage, read_write> passed: array<Cell>;

fn arriving(norm: vec2<f32>, i: u32, centred: Cell) -> Cell {
    return select(cotangent(i), Cell(), kept[i] <= Cell());
}

fn pass_on(i: u32, d: Cell) {
    passed[i] = d;
}
