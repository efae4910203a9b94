// permute where the last axis moves: a is the last axis of x, b the last axis of y, the others only say where a plane
// starts. A workgroup turns a tile of 32 × 32 in workgroup memory, so that it reads along a and writes along b, both
// coalesced. Rows of the tile are 33 words apart: a column then lies in 32 different banks. Any size; edges are guarded.

struct Params {
    a: u32, b: u32, x_b: u32, y_a: u32, // sizes of a and b, the stride of b in x and of a in y
    planes: u32, inner: u32, // of the other axes: all of them, and the size of the second
    x_0: u32, x_1: u32, y_0: u32, y_1: u32, // their strides
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

var<workgroup> tile: array<u32, 1056>; // [b][a], 32 × 33

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let g = group_index(wid, groups);
    let tiles_a = (p.a + 31u) / 32u;
    let tiles_b = (p.b + 31u) / 32u;
    let plane = g / (tiles_a * tiles_b);
    if (plane >= p.planes) {
        return;
    }
    let at = g - plane * (tiles_a * tiles_b);
    let a0 = at % tiles_a * 32u;
    let b0 = at / tiles_a * 32u;
    let outer = plane / p.inner;
    let inner = plane - outer * p.inner;
    let x_plane = outer * p.x_0 + inner * p.x_1;
    let y_plane = outer * p.y_0 + inner * p.y_1;
    let fast = lane % 32u;
    let slow = lane / 32u;
    //@ for i in 0..4
    let row_$i = slow + $i * 8u;
    if (a0 + fast < p.a && b0 + row_$i < p.b) {
        tile[row_$i * 33u + fast] = x[x_plane + (b0 + row_$i) * p.x_b + a0 + fast];
    }
    //@ end
    workgroupBarrier();
    //@ for i in 0..4
    if (a0 + row_$i < p.a && b0 + fast < p.b) {
        y[y_plane + (a0 + row_$i) * p.y_a + b0 + fast] = tile[fast * 33u + row_$i];
    }
    //@ end
}
