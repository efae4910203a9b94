// nt_xent.forward: lse_i = log Σ_{j≠i} exp(s_ij), s_ij = z_i·z_j / τ, and loss_i = lse_i − s_i,pos(i).
// An invocation owns $TI rows i and walks the rows j in groups of $TJ, so that a load serves $TI or $TJ products:
// on a software adapter loads cost and products do not. The sum keeps a running maximum (online log-sum-exp).

struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> z: array<V>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i0 = (group_index(wid, groups) * 8u + lane) * $TI;
    let last = p.rows - 1u;
    //@ for m in 0..TI
    let i_$m = i0 + $m;
    let a_$m = min(i_$m, last) * p.vectors;
    let positive_$m = (i_$m + p.rows / 2u) % p.rows;
    var top_$m = -3.4e38;
    var sum_$m = 0.0;
    var at_positive_$m = 0.0;
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
        //@ for m in 0..TI
        var now_$m = top_$m;
        //@ for n in 0..TJ
        let t_$m_$n = s_$m_$n * p.inverse_temperature;
        let counts_$m_$n = j_$n < p.rows && j_$n != i_$m;
        now_$m = select(now_$m, max(now_$m, t_$m_$n), counts_$m_$n);
        at_positive_$m = select(at_positive_$m, t_$m_$n, j_$n == positive_$m);
        //@ end
        sum_$m *= exp(top_$m - now_$m);
        //@ for n in 0..TJ
        sum_$m += select(0.0, exp(t_$m_$n - now_$m), counts_$m_$n);
        //@ end
        top_$m = now_$m;
        //@ end
    }
    //@ for m in 0..TI
    if (i_$m < p.rows) {
        let log_sum = log(sum_$m);
        lse[i_$m] = top_$m + log_sum;
        losses[i_$m] = log_sum + (top_$m - at_positive_$m);
    }
    //@ end
}
