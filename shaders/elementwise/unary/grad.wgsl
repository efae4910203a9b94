// unary.grad: dx = apply_grad(v, dy), where v is the output y for functions whose slope follows from it (x need not be
// kept then) and the input x for the others. `apply_grad` is the function's own piece; Quad, loaded and
// stored say how elements lie (common/quads_f32.wgsl).
// A workgroup owns 256 vec4 in a row; buffers are padded to 16 bytes, so the last vec4 is whole.

struct Params { vectors: u32, a: f32, b: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> v: array<Quad>;
@group(0) @binding(2) var<storage, read> dy: array<Quad>;
@group(0) @binding(3) var<storage, read_write> dx: array<Quad>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let start = group_index(wid, groups) * 256u;
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        dx[i] = stored(apply_grad(loaded(v[i]), loaded(dy[i])));
    }
}
