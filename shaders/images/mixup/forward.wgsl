// mixup: y = λ·x + (1 − λ)·x of the partner. A workgroup owns a part of one sample (span_of). Partners past the last sample
// are clamped.

struct Params { samples: u32, units: u32, chunks: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read> pair: array<u32>;
@group(0) @binding(3) var<storage, read> lambda: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<V>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let s = span_of(group_index(wid, groups));
    let other = min(pair[s.sample], p.samples - 1u) * p.units;
    let own = lambda[s.sample];
    for (var i = s.start + lane; i < s.end; i += 64u) {
        y[s.base + i] = own * x[s.base + i] + (1.0 - own) * x[other + i];
    }
}
