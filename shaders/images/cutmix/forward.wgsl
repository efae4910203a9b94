// cutmix: a box of each image is taken from its partner's; `kept` is the fraction of pixels that stay its own. An
// invocation makes the pixels at its places of its tile (common/tile.wgsl; a plane is a sample), all $C channels.
// Partners past the last image are clamped.
//
// Block 0: row, column.

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, epoch: u32, planes: u32, tile: u32, height: u32, width: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;
@group(0) @binding(4) var<storage, read> pair: array<u32>;
@group(0) @binding(5) var<storage, read> keep: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> kept: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let t = tile(wid, groups, lane, p.height, p.width);
    let sample = min(t.plane, p.planes - 1u);
    let other = min(pair[sample], p.planes - 1u);
    let d = draw(0u, indices[sample]);
    let ratio = sqrt(1.0 - clamp(keep[sample], 0.0, 1.0));
    let b = box_around(d.x, d.y, u32(round(ratio * f32(p.height))), u32(round(ratio * f32(p.width))), p.height, p.width);
    for (var row = t.row; row < t.end; row += $ROWS) {
        let source = select(sample, other, within(b, row, t.column));
        //@ for c in 0..C
        y[((sample * $C + $c) * p.height + row) * p.width + t.column] =
            x[((source * $C + $c) * p.height + row) * p.width + t.column];
        //@ end
        if (row == 0u && t.column == 0u) {
            let pixels = p.height * p.width;
            kept[sample] = f32(pixels - (b.bottom - b.top) * (b.right - b.left)) / f32(pixels);
        }
    }
}
