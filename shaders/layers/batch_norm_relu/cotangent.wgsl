// What arrives at the output in cell i: dy. Its twin is cotangents.wgsl.

@group(0) @binding(3) var<storage, read> dy: array<Cell>;

fn cotangent(i: u32) -> Cell {
    return dy[i];
}
