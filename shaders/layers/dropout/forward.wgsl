// dropout: y = x / keep where the element's word is below keep, else 0; four elements, one Philox block, an invocation
// and step. A workgroup owns 256 vec4 in a row; buffers are padded to 16 bytes, so the last vec4 is whole.

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, counter: u32, vectors: u32, keep: f32, slot: u32, scheduled: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> scalars: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let start = group_index(wid, groups) * 256u;
    let keep = keep_rate();
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        let u = words(i);
        let factor = vec4<f32>(kept(u.x, keep), kept(u.y, keep), kept(u.z, keep), kept(u.w, keep));
        // What is dropped is 0 times what it was, as in PyTorch: a NaN stays, so that a bad step is seen.
        y[i] = factor * x[i];
    }
}
