// solarize: with a probability, y = 1 − x where x is at least the threshold; all else is copied. A workgroup owns a part of
// one sample (span_of), so the sample's word is drawn once an invocation.
//
// Block 0: solarize?

struct Params {
    seed_low: u32, seed_high: u32, stream: u32, epoch: u32, samples: u32, images: u32, units: u32, chunks: u32,
    probability: f32, second_probability: f32, threshold: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> scalars: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<V>;
//@ for told in 0..TOLD
@group(0) @binding(5) var<storage, read_write> told: array<f32>;
//@ end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let s = span_of(group_index(wid, groups));
    let view = s.sample / p.images;
    let word = draw_of(0u, indices[s.sample % p.images], view).x;
    let turns = unit(word) < select(p.probability, p.second_probability, view == 1u);
    // No value is as large as the threshold of a sample that is left alone.
    let least = select(1e30, p.threshold, turns);
    //@ for told in 0..TOLD
    if (s.start < s.end && s.start == 0u && lane == 0u) {
        told[s.sample] = select(0.0, 1.0, turns);
    }
    //@ end
    for (var i = s.start + lane; i < s.end; i += 64u) {
        let v = x[s.base + i];
        y[s.base + i] = select(v, V(1.0) - v, v >= V(least));
    }
}
