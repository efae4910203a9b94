// jigsaw: the tiles of each image in the order of a row of a table, drawn for the sample; `chosen` is which row. An
// invocation makes the pixels at its places of its tile of work (common/tile.wgsl; a plane is a sample), all $C
// channels. Entries past the last tile are clamped.
//
// Block 0: which row.

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, epoch: u32, planes: u32, tile: u32, height: u32, width: u32,
    side: u32, rows: u32, high: u32, wide: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;
@group(0) @binding(4) var<storage, read> table: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> chosen: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let t = tile(wid, groups, lane, p.height, p.width);
    let sample = min(t.plane, p.planes - 1u);
    let choice = mulhi(draw(0u, indices[sample]).x, p.rows);
    let pieces = p.side * p.side;
    for (var row = t.row; row < t.end; row += $ROWS) {
        let down = row / p.high;
        let across = t.column / p.wide;
        let piece = min(table[choice * pieces + down * p.side + across], pieces - 1u);
        let from_row = piece / p.side * p.high + (row - down * p.high);
        let from_column = piece % p.side * p.wide + (t.column - across * p.wide);
        //@ for c in 0..C
        y[((sample * $C + $c) * p.height + row) * p.width + t.column] =
            x[((sample * $C + $c) * p.height + from_row) * p.width + from_column];
        //@ end
        if (row == 0u && t.column == 0u) {
            chosen[sample] = choice;
        }
    }
}
