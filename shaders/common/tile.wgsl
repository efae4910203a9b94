// The part of some planes that a workgroup of 64 lanes owns, the twin of src/kernels/core/tiles.rs. Its lanes stand as $PLANES
// planes × $ROWS rows × $COLUMNS columns, all powers of two, so that no lane divides by a size: a grid is ($ACROSS tiles of
// 64 columns × tiles of p.tile rows, planes folded over y and z), and a lane walks down one column in strides of $ROWS.
// Neighbours own neighbours. It needs `p.planes` and `p.tile` of the kernel.

struct Tile { plane: u32, row: u32, end: u32, column: u32 }

// Of planes of rows × columns places. What lies outside them owns no row.
fn tile(wid: vec3<u32>, groups: vec3<u32>, lane: u32, rows: u32, columns: u32) -> Tile {
    let plane = (wid.y + wid.z * groups.y) * $PLANES + lane / ($ROWS * $COLUMNS);
    let first = wid.x / $ACROSS * p.tile;
    let column = wid.x % $ACROSS * $COLUMNS + lane % $COLUMNS;
    let end = select(0u, min(first + p.tile, rows), (plane < p.planes) & (column < columns));
    return Tile(plane, first + lane / $COLUMNS % $ROWS, end, column);
}
