// attention.grad_key: dv_j = Σ_i P_ij·dy_i and dk_j = scale·Σ_i dS_ij·q_i, dS_ij = P_ij·(⟨dy_i, v_j⟩ − D_i),
// P_ij = exp(s_ij − lse_i), computed again. An invocation owns $TI keys of a head and walks the queries in groups of
// $TJ, with a causal mask from its own place on, rows of k, v, q and dy side by side, each where its strides say. dk and dv
// are the accumulators, and lie as k and v do: in the buffers 6 and $LAST, which are one where k and v lie in one tensor.

@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>; // (lse, D)
//@ for b in 6..LAST + 1
@group(0) @binding($b) var<storage, read_write> grad_$b: array<vec4<f32>>;
//@ end

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let block = group_index(wid, groups) * 8u + lane;
    let head = block / p.blocks;
    if (head >= p.total) {
        return;
    }
    let j0 = (block % p.blocks) * $TI;
    let keys = keys_of(head);
    let of_q = start(p.q, p.heads, head);
    let of_k = start(p.k, p.heads, head);
    let of_v = start(p.v, p.heads, head);
    let of_y = start(p.y, p.heads, head);
    //@ for m in 0..TI
    let j_$m = j0 + $m;
    let k_at_$m = of_k + min(j_$m, p.s - 1u) * p.k.row;
    let v_at_$m = of_v + min(j_$m, p.s - 1u) * p.v.row;
    if (j_$m < p.s) {
        for (var e = 0u; e < p.width; e++) {
            grad_6[k_at_$m + e] = vec4<f32>(0.0);
            grad_$LAST[v_at_$m + e] = vec4<f32>(0.0);
        }
    }
    //@ end
    let end = select(0u, p.t, j0 < keys);
    for (var i0 = select(0u, j0, p.causal != 0u); i0 < end; i0 += $TJ) {
        //@ for n in 0..TJ
        let row_$n = min(i0 + $n, p.t - 1u);
        let q_at_$n = of_q + row_$n * p.q.row;
        let y_at_$n = of_y + row_$n * p.y.row;
        let stats_$n = stats[head * p.t + row_$n];
        let sees_$n = select(0u, visible(keys, i0 + $n), i0 + $n < p.t);
        //@ for m in 0..TI
        var s_$m_$n = 0.0;
        var d_$m_$n = 0.0;
        //@ end
        //@ end
        for (var e = 0u; e < p.width; e++) {
            //@ for m in 0..TI
            let k_$m = k[k_at_$m + e];
            let v_$m = v[v_at_$m + e];
            //@ end
            //@ for n in 0..TJ
            let q_$n = q[q_at_$n + e];
            let dy_$n = dy[y_at_$n + e];
            //@ for m in 0..TI
            s_$m_$n += dot(k_$m, q_$n);
            d_$m_$n += dot(v_$m, dy_$n);
            //@ end
            //@ end
        }
        //@ for m in 0..TI
        //@ for n in 0..TJ
        let p_$m_$n = select(0.0, exp(p.scale * s_$m_$n - stats_$n.x), j_$m < sees_$n);
        let c_$m_$n = p.scale * p_$m_$n * (d_$m_$n - stats_$n.y);
        //@ end
        //@ end
        for (var e = 0u; e < p.width; e++) {
            //@ for n in 0..TJ
            let q_$n = q[q_at_$n + e];
            let dy_$n = dy[y_at_$n + e];
            //@ end
            //@ for m in 0..TI
            if (j_$m < p.s) {
                var sum_k = grad_6[k_at_$m + e];
                var sum_v = grad_$LAST[v_at_$m + e];
                //@ for n in 0..TJ
                sum_k += c_$m_$n * q_$n;
                sum_v += p_$m_$n * dy_$n;
                //@ end
                grad_6[k_at_$m + e] = sum_k;
                grad_$LAST[v_at_$m + e] = sum_v;
            }
            //@ end
        }
    }
}
