// info_nce.grad_key: dkey_i = f_i/τ (exp(−loss_i) − 1) query_i. An invocation a unit; factor(i) comes with the cotangent.

struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> query: array<V>;
@group(0) @binding(2) var<storage, read> losses: array<f32>;
@group(0) @binding($DX) var<storage, read_write> dkey: array<V>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups) * 64u + lane;
    let i = at / p.vectors;
    if (i < p.rows) {
        dkey[at] = p.inverse_temperature * factor(i) * (exp(-losses[i]) - 1.0) * query[at];
    }
}
