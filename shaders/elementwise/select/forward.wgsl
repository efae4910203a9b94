// select: y = a where the mask is not 0, else b, four elements an invocation and step. Words are moved as they are, so
// f32 and u32 are alike. The mask's bits are shifted left by one where it is f32, because −0 is 0 and has a bit set.
// A workgroup owns 256 vec4 in a row; buffers are padded to 16 bytes, so the last vec4 is whole.

struct Params { vectors: u32, shift: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> mask: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> b: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let start = group_index(wid, groups) * 256u;
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        y[i] = select(b[i], a[i], (mask[i] << vec4<u32>(p.shift)) != vec4<u32>(0u));
    }
}
