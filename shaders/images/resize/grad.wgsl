// resize.grad: an element of dx gathers dy of the outputs that read it, each times the weight it was read with, in row
// order. An invocation makes the elements at its places of its tile; taps() and outputs_over() come from the piece
// before this one.
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

// The weight with which input `h` is read by these taps; both may be the last input.
fn weight(t: Taps, h: u32) -> f32 {
    return select(0.0, 1.0 - t.part, t.low == h) + select(0.0, t.part, t.high == h);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let t = tile(wid, groups, lane, p.height, p.width);
    let plane = t.plane * (p.out_height * p.out_width);
    let columns = outputs_over(t.column, p.width, p.out_width);
    for (var row = t.row; row < t.end; row += $ROWS) {
        let rows = outputs_over(row, p.height, p.out_height);
        var sum = 0.0;
        for (var r = rows.x; r < rows.y; r++) {
            var line = 0.0;
            for (var c = columns.x; c < columns.y; c++) {
                line += weight(taps(c, p.width, p.out_width), t.column) * dy[plane + r * p.out_width + c];
            }
            sum += weight(taps(r, p.height, p.out_height), row) * line;
        }
        dx[(t.plane * p.height + row) * p.width + t.column] = sum;
    }
}
