// attention.repad: rows of `length` elements copied to rows of `padded` elements, zeros or nothing at their ends: a tensor
// of the op to a workspace of whole vec4, or back. An invocation an element of the copied rows; neighbours lie beside each
// other but where a row ends.

struct Repad {
    x: Strides, y: Strides, // in elements
    heads: u32, total: u32, // as in Params
    rows: u32,              // of a head
    length: u32, padded: u32,
}
@group(0) @binding(0) var<uniform> p: Repad;
@group(0) @binding(1) var<storage, read> x: array<Held>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.total * p.rows * p.padded) {
        return;
    }
    let column = i % p.padded;
    let row = i / p.padded % p.rows;
    let head = i / (p.padded * p.rows);
    let to = start(p.y, p.heads, head) + row * p.y.row + column;
    if (column < p.length) {
        let from_x = start(p.x, p.heads, head) + row * p.x.row + column;
        put(to, got(x[place(from_x)], from_x));
    } else {
        put(to, 0.0);
    }
}
