// fill: every word of y is p.word. An invocation writes four words a step; a workgroup owns 256 vec4 in a row.

struct Params { vectors: u32, word: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let start = group_index(wid, groups) * 256u;
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        y[i] = vec4<u32>(p.word);
    }
}
