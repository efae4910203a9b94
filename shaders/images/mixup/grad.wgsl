// mixup.grad: dx_i = λ_i·dy_i + Σ (1 − λ_j)·dy_j over the samples j whose partner is i, in their order. A workgroup owns a
// part of one sample (span_of); every invocation looks through the partners, which are few.

struct Params { samples: u32, units: u32, chunks: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<V>;
@group(0) @binding(2) var<storage, read> pair: array<u32>;
@group(0) @binding(3) var<storage, read> lambda: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<V>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let s = span_of(group_index(wid, groups));
    for (var i = s.start + lane; i < s.end; i += 64u) {
        var sum = lambda[s.sample] * dy[s.base + i];
        for (var j = 0u; j < p.samples; j++) {
            if (min(pair[j], p.samples - 1u) == s.sample) {
                sum += (1.0 - lambda[j]) * dy[j * p.units + i];
            }
        }
        dx[s.base + i] = sum;
    }
}
