// layer_norm.affine_chunks: Σ dy·x̂ and Σ dy of a chunk of `per` rows, an invocation per (chunk, unit of columns).
// Neighbouring invocations read neighbouring columns.

struct Params { rows: u32, vectors: u32, chunks: u32, per: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<Held>;
@group(0) @binding(5) var<storage, read_write> parts: array<V>; // (chunk, Σ dy·x̂ or Σ dy, column)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let unit = group_index(wid, groups) * 64u + lane;
    if (unit >= p.chunks * p.vectors) {
        return;
    }
    let chunk = unit / p.vectors;
    let column = unit % p.vectors;
    var crossed = V(0.0);
    var plain = V(0.0);
    for (var i = chunk * p.per; i < min((chunk + 1u) * p.per, p.rows); i++) {
        let at = i * p.vectors + column;
        let d = got(dy[place(at)], at);
        plain += d;
        crossed += d * ((got(x[place(at)], at) - mean[i]) * rstd[i]);
    }
    parts[2u * chunk * p.vectors + column] = crossed;
    parts[(2u * chunk + 1u) * p.vectors + column] = plain;
}
