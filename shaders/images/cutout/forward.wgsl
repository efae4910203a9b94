// cutout: with a probability, a square around a random place takes one value; all else is copied. An invocation makes
// the pixels at its places of its tile (common/tile.wgsl; a plane is a sample), all $C channels.
//
// Block 0: cut?, row, column.

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, epoch: u32, planes: u32, tile: u32, height: u32, width: u32,
    probability: f32, side: u32, value: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let t = tile(wid, groups, lane, p.height, p.width);
    let d = draw(0u, indices[min(t.plane, p.planes - 1u)]);
    let side = select(0u, p.side, unit(d.x) < p.probability);
    let b = box_around(d.y, d.z, side, side, p.height, p.width);
    for (var row = t.row; row < t.end; row += $ROWS) {
        let cut = within(b, row, t.column);
        //@ for c in 0..C
        let at_$c = ((t.plane * $C + $c) * p.height + row) * p.width + t.column;
        y[at_$c] = select(x[at_$c], p.value, cut);
        //@ end
    }
}
