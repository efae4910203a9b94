// gather: y[n] = table[index_n], indices past the table's end count as its last row. An invocation copies one unit; a
// workgroup owns 256 in a row of y; the surplus of the last one is guarded.

struct Params { units: u32, row: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<Held>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 256u + lane;
    if (i < p.units) {
        let n = i / p.row;
        let at = min(indices[n], p.rows - 1u) * p.row + (i - n * p.row);
        put(i, got(table[place(at)], at));
    }
}
