// spectral_norm.grad: dW = dy/sigma − ⟨dy, W⟩/sigma²·u·vᵀ. A workgroup owns 256 units in a row.

struct Params { rows: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<V>;
@group(0) @binding(2) var<storage, read> sigma: array<f32>;
@group(0) @binding(3) var<storage, read> total: array<f32>;
@group(0) @binding(4) var<storage, read> u: array<f32>;
@group(0) @binding(5) var<storage, read> v: array<V>;
@group(0) @binding(6) var<storage, read_write> dweight: array<V>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 256u + lane;
    if (i >= p.rows * p.vectors) {
        return;
    }
    let along = total[0] / sigma[0] * u[i / p.vectors];
    dweight[i] = (dy[i] - along * v[i % p.vectors]) / sigma[0];
}
