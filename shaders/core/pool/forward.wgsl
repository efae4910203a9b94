// pool: an output element is folded from its window of x, row after row. What is folded, and how (begin, take, next_row,
// store), how a row is walked, and where windows lie, comes from the pieces before this one. An invocation makes the
// outputs at its places of its tile (common/tile.wgsl); a window never lies wholly in the padding.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let t = tile(wid, groups, lane, p.out_height, p.out_width);
    let plane = t.plane * (p.height * p.width);
    let columns = window_columns(t.column);
    for (var o = t.row; o < t.end; o += $ROWS) {
        let rows = window_rows(o);
        var sum = begin(plane, rows.x * p.width + columns.x);
        // As many rows as the longest window has, so that all lanes loop alike; past its end a window's last row is read
        // again.
        for (var r = rows.x; r < rows.x + p.longest; r++) {
            sum = row(sum, plane, min(r, rows.y - 1u) * p.width, columns, r < rows.y);
        }
        store((t.plane * p.out_height + o) * p.out_width + t.column, sum, area(rows, columns));
    }
}
