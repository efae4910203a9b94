// The reference kernel of `wgslab bench`: fixed work that no edit of a shader of shaders/ changes, so that what its time
// drifts, the machine drifted. Half of it is arithmetic and half memory, as in most kernels.
//
// An invocation owns the vec4 `i` of the buffer: it reads it, puts it through a chain of 64 fused multiply-adds and writes
// it back. The chain contracts towards 1, so values stay finite however often the kernel runs. The grid is exact: 1,024
// workgroups of 64.

@group(0) @binding(1) var<storage, read_write> values: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    var v = values[id.x];
    for (var i = 0; i < 64; i++) {
        v = fma(v, vec4f(0.75), vec4f(0.25));
    }
    values[id.x] = v;
}
