// What arrives takes the place of dy: it is the gradient of what was added to the norm's output, too. dy is what
// shaders/common/put_f32.wgsl, or its twin, reads and makes.

fn given(i: u32) -> Cell {
    return taken(i);
}

fn pass_on(i: u32, d: Cell) {
    put(i, d);
}
