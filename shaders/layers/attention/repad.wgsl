// attention.repad: rows of `length` elements copied to rows of `padded` elements, zeros or nothing at their ends.
// An invocation an element of y.

struct Repad { rows: u32, length: u32, padded: u32 }
@group(0) @binding(0) var<uniform> p: Repad;
@group(0) @binding(1) var<storage, read> x: array<Held>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.rows * p.padded) {
        return;
    }
    let column = i % p.padded;
    if (column < p.length) {
        let at = i / p.padded * p.length + column;
        put(i, got(x[place(at)], at));
    } else {
        put(i, 0.0);
    }
}
