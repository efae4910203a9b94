// add_bias: y[m, n] = x[m, n] + b[n]. Four elements an invocation and step, each with its own column: N need not be a
// multiple of four. A workgroup owns 256 vec4 in a row; the last vec4 may reach into the padding, where any column does.

struct Params { vectors: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Quad>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Result>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let start = group_index(wid, groups) * 256u;
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        let n = 4u * i % p.columns;
        let bias = vec4<f32>(b[n], b[(n + 1u) % p.columns], b[(n + 2u) % p.columns], b[(n + 3u) % p.columns]);
        y[i] = stored(loaded(x[i]) + bias);
    }
}
