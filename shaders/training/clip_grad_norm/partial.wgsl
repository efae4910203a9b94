// clip_grad_norm: Σ x² of 1024 vec4 in a row of one gradient, which a workgroup owns, into one word of `parts`: the
// first of two stages, both in a fixed order. A gradient's rows hold its elements, and which word is its first.

struct Params { tensors: array<vec4<u32>, $ROWS> }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> parts: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let row = row_of(group_index(wid, groups));
    let tensor = p.tensors[row];
    let at = p.tensors[row + 1u];
    let group = group_index(wid, groups) - tensor.x;
    let vectors = (tensor.y + 3u) / 4u;
    let end = min((group + 1u) * 1024u, vectors);
    var part = 0.0;
    for (var i = group * 1024u + lane; i < end; i += 64u) {
        part += squares(x[at.x + i], i, tensor.y);
    }
    let total = sum64(me, vec2<f32>(part, 0.0)).x;
    if (lane == 0u && group < (vectors + 1023u) / 1024u) {
        parts[at.w + group] = total;
    }
}
