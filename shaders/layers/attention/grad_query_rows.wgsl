// attention.grad_query: dq_i = scale·Σ_j dS_ij·k_j, dS_ij = P_ij·(⟨dy_i, v_j⟩ − D_i), P_ij = exp(s_ij − lse_i), computed
// again. An invocation owns $TI queries of a head and walks the keys in groups of $TJ, as the forward does, rows of q, dy, k
// and v side by side, each where its strides say; dq is the accumulator, and lies as q does.

@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>; // (lse, D)
@group(0) @binding(6) var<storage, read_write> dq: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let block = group_index(wid, groups) * 8u + lane;
    let head = block / p.blocks;
    if (head >= p.total) {
        return;
    }
    let i0 = (block % p.blocks) * $TI;
    let keys = keys_of(head);
    let of_q = start(p.q, p.heads, head);
    let of_k = start(p.k, p.heads, head);
    let of_v = start(p.v, p.heads, head);
    let of_y = start(p.y, p.heads, head);
    let end = visible(keys, min(i0 + $TI, p.t) - 1u);
    //@ for m in 0..TI
    let i_$m = i0 + $m;
    let row_$m = min(i_$m, p.t - 1u);
    let q_at_$m = of_q + row_$m * p.q.row;
    let y_at_$m = of_y + row_$m * p.y.row;
    let stats_$m = stats[head * p.t + row_$m];
    let sees_$m = visible(keys, i_$m);
    if (i_$m < p.t) {
        for (var e = 0u; e < p.width; e++) {
            dq[q_at_$m + e] = vec4<f32>(0.0);
        }
    }
    //@ end
    for (var j0 = 0u; j0 < end; j0 += $TJ) {
        //@ for n in 0..TJ
        let row_$n = min(j0 + $n, p.s - 1u);
        let k_at_$n = of_k + row_$n * p.k.row;
        let v_at_$n = of_v + row_$n * p.v.row;
        //@ for m in 0..TI
        var s_$m_$n = 0.0;
        var d_$m_$n = 0.0;
        //@ end
        //@ end
        for (var e = 0u; e < p.width; e++) {
            //@ for m in 0..TI
            let q_$m = q[q_at_$m + e];
            let dy_$m = dy[y_at_$m + e];
            //@ end
            //@ for n in 0..TJ
            let k_$n = k[k_at_$n + e];
            let v_$n = v[v_at_$n + e];
            //@ for m in 0..TI
            s_$m_$n += dot(q_$m, k_$n);
            d_$m_$n += dot(dy_$m, v_$n);
            //@ end
            //@ end
        }
        //@ for m in 0..TI
        //@ for n in 0..TJ
        let ds_$m_$n = p.scale * exp(p.scale * s_$m_$n - stats_$m.x) * (d_$m_$n - stats_$m.y);
        let c_$m_$n = select(0.0, ds_$m_$n, j0 + $n < sees_$m);
        //@ end
        //@ end
        for (var e = 0u; e < p.width; e++) {
            //@ for n in 0..TJ
            let k_$n = k[k_at_$n + e];
            //@ end
            //@ for m in 0..TI
            if (i_$m < p.t) {
                var sum = dq[q_at_$m + e];
                //@ for n in 0..TJ
                sum += c_$m_$n * k_$n;
                //@ end
                dq[q_at_$m + e] = sum;
            }
            //@ end
        }
    }
}
