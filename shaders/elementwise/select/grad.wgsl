// select.grad: da = dy where the mask is not 0, else 0; db = dy where it is 0, else 0. `first` is 1 for da and 0 for db.
// A workgroup owns 256 vec4 in a row; buffers are padded to 16 bytes, so the last vec4 is whole.

struct Params { vectors: u32, shift: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> mask: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let start = group_index(wid, groups) * 256u;
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        let chosen = (mask[i] << vec4<u32>(p.shift)) != vec4<u32>(0u);
        dx[i] = select(vec4<f32>(0.0), dy[i], chosen == vec4<bool>(p.first == 1u));
    }
}
