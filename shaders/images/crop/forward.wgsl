// crop: a window of p.out_height × p.out_width of each plane, where its sample's two shares say: 0 is the first row or column
// that a window can begin at, just below 1 the last. An invocation makes the outputs at its places of its tile
// (common/tile.wgsl).

struct Params {
    planes: u32, tile: u32, channels: u32, height: u32, width: u32, out_height: u32, out_width: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> shares: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// The first row or column of a window that can begin at 0 to last.
fn begin(share: f32, last: u32) -> u32 {
    return min(u32(max(share, 0.0) * f32(last + 1u)), last);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let t = tile(wid, groups, lane, p.out_height, p.out_width);
    let sample = min(t.plane, p.planes - 1u) / p.channels;
    let top = begin(shares[2u * sample], p.height - p.out_height);
    let left = begin(shares[2u * sample + 1u], p.width - p.out_width);
    for (var row = t.row; row < t.end; row += $ROWS) {
        let at = (t.plane * p.height + top + row) * p.width + left + t.column;
        y[(t.plane * p.out_height + row) * p.out_width + t.column] = x[at];
    }
}
