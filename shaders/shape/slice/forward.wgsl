// slice: y[r, k] = x[r, start + k] for rows of everything from the axis on.
// An invocation copies one unit; a workgroup owns 256 in a row of y; the surplus of the last one is guarded.

struct Params { units: u32, row: u32, x_row: u32, start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Held>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 256u + lane;
    if (i < p.units) {
        let at = i / p.row * (p.x_row - p.row) + p.start + i;
        put(i, got(x[place(at)], at));
    }
}
