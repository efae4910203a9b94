// slice.grad: dx[i] = dy[i − start] inside the slice, 0 outside it.
// An invocation writes one element; a workgroup owns 256 in a row; the surplus of the last one is guarded.

struct Params { elements: u32, start: u32, length: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 256u + lane;
    if (i >= p.elements) {
        return;
    }
    // Unsigned wrap makes what lies before the slice large, so one comparison guards both ends.
    let at = i - p.start;
    var v = 0.0;
    if (at < p.length) {
        v = dy[at];
    }
    dx[i] = v;
}
