// magnify: one magnification of every plane: its centre, `high` × `wide` from (top, left), resized with antialias
// (common/triangle.wgsl) into the planes of y from `first` on. An invocation makes the outputs at its places of its tile
// (common/tile.wgsl).

struct Params {
    planes: u32, tile: u32, first: u32, height: u32, width: u32, top: u32, left: u32, high: u32, wide: u32,
    out_height: u32, out_width: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let t = tile(wid, groups, lane, p.out_height, p.out_width);
    let plane = (t.plane * p.height + p.top) * p.width + p.left;
    let across = taps(t.column, p.wide, p.out_width);
    for (var row = t.row; row < t.end; row += $ROWS) {
        let down = taps(row, p.high, p.out_height);
        var sum = 0.0;
        var total = 0.0;
        for (var r = down.first; r < down.end; r++) {
            let w = weight(r, down);
            for (var c = across.first; c < across.end; c++) {
                let f = w * weight(c, across);
                sum += f * x[plane + r * p.width + c];
                total += f;
            }
        }
        y[((p.first + t.plane) * p.out_height + row) * p.out_width + t.column] = sum / total;
    }
}
