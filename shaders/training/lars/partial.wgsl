// lars: Σ w² and Σ (grad + decay·w)² of 1024 vec4 in a row, which a workgroup owns, into one vec2 of `parts`: the first
// of two stages, both in a fixed order.

struct Params { elements: u32, decay: f32, groups: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> parts: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    let end = min((group + 1u) * 1024u, (p.elements + 3u) / 4u);
    var part = vec2<f32>(0.0);
    for (var i = group * 1024u + lane; i < end; i += 64u) {
        let old = w[i];
        part += vec2<f32>(squares(old, i, p.elements), squares(grad[i] + p.decay * old, i, p.elements));
    }
    let total = sum64(lane, part);
    if (lane == 0u && group < p.groups) {
        parts[group] = total;
    }
}
