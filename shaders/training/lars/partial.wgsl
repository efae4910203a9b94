// lars: Σ w² and Σ (grad + decay·w)² of 1024 vec4 in a row of a tensor, which a workgroup owns: the first of two stages, both
// in a fixed order. A tensor's rows hold its elements, its decay, and which sum is its first.

struct Params { tensors: array<vec4<u32>, $ROWS> }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> parts: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let row = row_of(group_index(wid, groups));
    let tensor = p.tensors[row];
    let at = p.tensors[row + 1u];
    let group = group_index(wid, groups) - tensor.x;
    let decay = bitcast<f32>(tensor.z);
    let vectors = (tensor.y + 3u) / 4u;
    let end = min((group + 1u) * 1024u, vectors);
    var part = vec2<f32>(0.0);
    for (var i = group * 1024u + lane; i < end; i += 64u) {
        let old = w[at.x + i];
        part += vec2<f32>(squares(old, i, tensor.y), squares(grad[at.y + i] + decay * old, i, tensor.y));
    }
    let total = sum64(me, part);
    if (lane == 0u && group < (vectors + 1023u) / 1024u) {
        parts[at.w + group] = total;
    }
}
