// concat: y[r, start + k] = x[r, k] for rows of everything from the axis on; one launch an input, each writing its part
// of every row of y. An invocation copies one unit; a workgroup owns 256 in a row of x; the surplus is guarded.

struct Params { units: u32, row: u32, y_row: u32, start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Held>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 256u + lane;
    if (i < p.units) {
        put(i / p.row * (p.y_row - p.row) + p.start + i, got(x[place(i)], i));
    }
}
