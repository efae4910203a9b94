// sum_slices: y[i] = Σ_s x[s, i], s ascending: joins the slices of a product whose k was split, always in one order.
// The product of p.columns columns ends here: `finish` is of shaders/core/epilogue/.
// An invocation sums one element; a workgroup owns 64 in a row, so each slice is read in a row.

struct Params { elements: u32, slices: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.elements) {
        return;
    }
    var sum = 0.0;
    for (var s = 0u; s < p.slices; s++) {
        sum += x[s * p.elements + i];
    }
    put(i, finish(vec4<f32>(sum), i / p.columns, vec4<u32>(i % p.columns), vec4<u32>(i)).x);
}
