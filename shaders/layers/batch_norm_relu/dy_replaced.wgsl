// What arrives takes the place of dy: it is the gradient of what was added to the norm's output, too.

@group(0) @binding(3) var<storage, read_write> dy: array<Cell>;

fn pass_on(i: u32, d: Cell) {
    dy[i] = d;
}
