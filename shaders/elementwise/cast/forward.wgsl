// cast: y[i] = converted(x[i]), what a unit is and how it is converted in the piece before. An invocation a unit, a
// workgroup 64 in a row. The last unit may reach into the padding.

struct Params { units: u32, elements: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<From>;
@group(0) @binding(2) var<storage, read_write> y: array<To>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i < p.units) {
        y[i] = converted(x[i], i);
    }
}
