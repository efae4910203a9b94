// found_inf: flag' = 1 if an element of x is infinite or NaN, else flag; in place. The exponent's bits are tested:
// compilers may assume that no float is NaN and drop a comparison. Only true elements count, not the padding.
// A workgroup owns 256 vec4 in a row of a tensor. All writers write the same word, so their order does not matter.

struct Params { tensors: array<vec4<u32>, $ROWS> }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> flag: array<atomic<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let exponent = vec4<u32>(0x7f800000u);
    let group = group_index(wid, groups);
    let row = row_of(group);
    let tensor = p.tensors[row];
    let at = p.tensors[row + 1u].x;
    let start = (group - tensor.x) * 256u;
    var bad = vec4<bool>(false);
    for (var i = start + lane; i < min(start + 256u, (tensor.y + 3u) / 4u); i += 64u) {
        let inside = 4u * i + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(tensor.y);
        bad = bad | (inside & ((x[at + i] & exponent) == exponent));
    }
    if (any(bad)) {
        atomicStore(&flag[0], 1u);
    }
}
