// nt_xent.grad: dz_i = dy/(2N τ) Σ_j (P_ij + P_ji − 2 [j = pos(i)]) z_j, P_ij = exp(s_ij − lse_i) for j ≠ i, 0 for j = i.
// An invocation owns $TI rows i and walks the rows j in groups of $TJ, as the forward does: first the similarities of
// the group, then their sum into dz. dz itself is the accumulator, because D values a row do not fit in registers;
// only this invocation touches its rows of it.

struct Params { rows: u32, vectors: u32, inverse_temperature: f32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> z: array<V>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dz: array<V>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i0 = (group_index(wid, groups) * 8u + lane) * $TI;
    let last = p.rows - 1u;
    let scale = p.scale * dy[0];
    //@ for m in 0..TI
    let i_$m = i0 + $m;
    let a_$m = min(i_$m, last) * p.vectors;
    let positive_$m = (i_$m + p.rows / 2u) % p.rows;
    let lse_i_$m = lse[min(i_$m, last)];
    //@ end
    for (var j0 = 0u; j0 < p.rows; j0 += $TJ) {
        //@ for n in 0..TJ
        let j_$n = j0 + $n;
        let b_$n = min(j_$n, last) * p.vectors;
        //@ for m in 0..TI
        var s_$m_$n = 0.0;
        //@ end
        //@ end
        for (var k = 0u; k < p.vectors; k++) {
            //@ for m in 0..TI
            let za_$m = z[a_$m + k];
            //@ end
            //@ for n in 0..TJ
            let zb_$n = z[b_$n + k];
            //@ for m in 0..TI
            s_$m_$n += dot_v(za_$m, zb_$n);
            //@ end
            //@ end
        }
        //@ for n in 0..TJ
        let lse_j_$n = lse[min(j_$n, last)];
        //@ for m in 0..TI
        let t_$m_$n = s_$m_$n * p.inverse_temperature;
        let both_$m_$n = exp(t_$m_$n - lse_i_$m) + exp(t_$m_$n - lse_j_$n) - select(0.0, 2.0, j_$n == positive_$m);
        let c_$m_$n = select(0.0, scale * both_$m_$n, j_$n < p.rows && j_$n != i_$m);
        //@ end
        //@ end
        for (var k = 0u; k < p.vectors; k++) {
            //@ for n in 0..TJ
            let zc_$n = z[b_$n + k];
            //@ end
            //@ for m in 0..TI
            if (i_$m < p.rows) {
                var d = V(0.0);
                if (j0 > 0u) {
                    d = dz[a_$m + k];
                }
                //@ for n in 0..TJ
                d += c_$m_$n * zc_$n;
                //@ end
                dz[a_$m + k] = d;
            }
            //@ end
        }
    }
}
