// drop_path: y = x / keep for the samples whose word is below keep, else 0. A workgroup owns a part of one
// sample (span_of), so the word is drawn once an invocation.

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, counter: u32,
    samples: u32, units: u32, chunks: u32, keep: f32, slot: u32, scheduled: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read> scalars: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<V>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let s = span_of(group_index(wid, groups));
    let factor = kept(words(s.sample / 4u)[s.sample % 4u], keep_rate());
    for (var i = s.start + lane; i < s.end; i += 64u) {
        // What is dropped is 0 times what it was, as in PyTorch: a NaN stays, so that a bad step is seen.
        y[s.base + i] = factor * x[s.base + i];
    }
}
