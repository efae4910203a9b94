// scatter_add.starts: where the sorted indices of each row of y begin, by bisection; one more for where the last end.
// An invocation a row of y.

struct Params { rows: u32, length: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> sorted: array<u32>;
@group(0) @binding(2) var<storage, read_write> starts: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let r = group_index(wid, groups) * 64u + lane;
    if (r > p.rows) {
        return;
    }
    var low = 0u;
    var high = p.length;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (sorted[middle] < r) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    starts[r] = low;
}
