// What arrives at the norm's output in cell i, through a relu that follows it at once: the cotangent where
// y = (x − mean)·scale + shift is above 0 or NaN, else 0. y is computed again, so that it is not read. `norm` is (scale,
// shift), as batch_norm.apply has them.

fn arriving(norm: vec2<f32>, i: u32, centred: Cell) -> Cell {
    let y = centred * norm.x + norm.y;
    return select(cotangent(i), Cell(), y <= Cell());
}

fn pass_on(i: u32, d: Cell) {
}
