// slice.grad: dx[r, k] = dy[r, k − start] inside the slice, 0 outside it.
// An invocation writes one unit; a workgroup owns 256 in a row of dx; the surplus of the last one is guarded.

struct Params { units: u32, row: u32, x_row: u32, start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<Held>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 256u + lane;
    if (i >= p.units) {
        return;
    }
    let r = i / p.x_row;
    // Unsigned wrap makes what lies before the slice large, so one comparison guards both ends.
    let k = i - r * p.x_row - p.start;
    var v = Cell(0u);
    if (k < p.row) {
        let at = r * p.row + k;
        v = got(dy[place(at)], at);
    }
    put(i, v);
}
