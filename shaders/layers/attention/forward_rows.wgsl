// attention.forward: y_i = Σ_j exp(s_ij − lse_i)·v_j, s_ij = scale·⟨q_i, k_j⟩, lse_i = log Σ_j exp(s_ij), in one walk over
// the keys with a running maximum (online softmax). An invocation owns $TI queries of a head and walks the keys in
// groups of $TJ, so that a load serves $TI or $TJ products: on a software adapter loads cost and products do not. y
// itself is the accumulator, because E values a row do not fit in registers; only this invocation touches its rows. It
// walks $TI rows of q and $TJ of k side by side, vec4 by vec4, then as many of y and v: each where its strides say.

@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

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
    let sees_$m = visible(keys, i_$m);
    var top_$m = LOWEST;
    var total_$m = 0.0;
    //@ end
    for (var j0 = 0u; j0 < end; j0 += $TJ) {
        //@ for n in 0..TJ
        let row_$n = min(j0 + $n, p.s - 1u);
        let k_at_$n = of_k + row_$n * p.k.row;
        let v_at_$n = of_v + row_$n * p.v.row;
        //@ for m in 0..TI
        var s_$m_$n = 0.0;
        //@ end
        //@ end
        for (var e = 0u; e < p.width; e++) {
            //@ for m in 0..TI
            let q_$m = q[q_at_$m + e];
            //@ end
            //@ for n in 0..TJ
            let k_$n = k[k_at_$n + e];
            //@ for m in 0..TI
            s_$m_$n += dot(q_$m, k_$n);
            //@ end
            //@ end
        }
        //@ for m in 0..TI
        var now_$m = top_$m;
        //@ for n in 0..TJ
        let t_$m_$n = select(LOWEST, p.scale * s_$m_$n, j0 + $n < sees_$m);
        now_$m = max(now_$m, t_$m_$n);
        //@ end
        let keep_$m = exp(top_$m - now_$m);
        top_$m = now_$m;
        total_$m *= keep_$m;
        //@ for n in 0..TJ
        let p_$m_$n = select(0.0, exp(t_$m_$n - now_$m), j0 + $n < sees_$m);
        total_$m += p_$m_$n;
        //@ end
        //@ end
        for (var e = 0u; e < p.width; e++) {
            //@ for n in 0..TJ
            let v_$n = v[v_at_$n + e];
            //@ end
            //@ for m in 0..TI
            if (i_$m < p.t) {
                var sum = vec4<f32>(0.0);
                if (j0 > 0u) {
                    sum = keep_$m * y[y_at_$m + e];
                }
                //@ for n in 0..TJ
                sum += p_$m_$n * v_$n;
                //@ end
                y[y_at_$m + e] = sum;
            }
            //@ end
        }
    }
    //@ for m in 0..TI
    if (i_$m < p.t) {
        if (total_$m == 0.0) { // it sees no key
            for (var e = 0u; e < p.width; e++) {
                y[y_at_$m + e] = vec4<f32>(0.0);
            }
            lse[head * p.t + i_$m] = LOWEST;
        } else { // NaN stays
            let share = 1.0 / total_$m;
            for (var e = 0u; e < p.width; e++) {
                y[y_at_$m + e] *= share;
            }
            lse[head * p.t + i_$m] = top_$m + log(total_$m);
        }
    }
    //@ end
}
