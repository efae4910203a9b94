// layer_norm.affine_finish: dweight and dbias, the chunks' sums added in order, an invocation a unit of columns.

struct Params { rows: u32, vectors: u32, chunks: u32, per: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<V>; // (chunk, Σ dy·x̂ or Σ dy, column)
@group(0) @binding(2) var<storage, read_write> dweight: array<V>;
@group(0) @binding(3) var<storage, read_write> dbias: array<V>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let column = group_index(wid, groups) * 64u + lane;
    if (column >= p.vectors) {
        return;
    }
    var crossed = V(0.0);
    var plain = V(0.0);
    for (var chunk = 0u; chunk < p.chunks; chunk++) {
        crossed += parts[2u * chunk * p.vectors + column];
        plain += parts[(2u * chunk + 1u) * p.vectors + column];
    }
    dweight[column] = crossed;
    dbias[column] = plain;
}
