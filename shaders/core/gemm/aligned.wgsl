// gemm, tiled for GPUs where sizes divide: c[z, m, n] = Σ_k a[z, m, k] · b[z, k, n] as core/gemm/tiled.wgsl computes it, with
// whole vec4 from memory, no guards, and the next tile on its way in registers while this one is multiplied.
// The op's own pieces say where operands come from: a_block(m, k) and b_block(n, k) give four by four numbers, a vec4
// along m or n for each of four k; c_row, c_column and c_put_four where results go; `finish` how the product ends: shaders/core/epilogue/.
// A workgroup of $THREADS invocations owns $BM × $BN outputs and walks k in steps of $BK: the first half loads a
// tile of a, the second one of b, a block each. Eight neighbours load blocks side by side along m or n, so that their
// stores to workgroup memory fall into different banks; the next eight are four k further, so that an operand that lies
// along k is read in whole lines too. Then each invocation updates $TM × $TN outputs in named vec4 registers.
// $UNROLL steps of the walk through a tile are text, a part of its $BK or all of them: then there is no loop, and indices, which
// count vec4, cost no instruction.
// M divides by BM, N by BN, K and the slices of it (wid.z counts z and slice) by BK.

//@ let loaders = THREADS/2
//@ let loops = 1 - UNROLL/BK
var<private> batch: u32;
var<workgroup> tile_a: array<vec4<f32>, $BK * $BM / 4>;
var<workgroup> tile_b: array<vec4<f32>, $BK * $BN / 4>;

@compute @workgroup_size($THREADS)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
    let tiles_n = p.n / $BN;
    let tile = group_index(wid, groups);
    let m0 = (tile / tiles_n) * $BM;
    let n0 = (tile % tiles_n) * $BN;
    if (m0 >= p.m) {
        return; // surplus of the folded grid: the whole workgroup leaves
    }
    let tm = t / ($BN / $TN); // in vec4
    let tn = t % ($BN / $TN);
    let slices = (p.k + p.k_split - 1u) / p.k_split;
    batch = wid.z / slices;
    let slice = wid.z % slices;
    let k_begin = slice * p.k_split;
    let k_end = min(k_begin + p.k_split, p.k);

    //@ for m in 0..TM
    //@ for g in 0..TN/4
    var acc_$m_$g = vec4<f32>(0.0);
    //@ end
    //@ end

    let loads_a = t < ${loaders}u;
    let loader = t % $loaders;
    let k = ((loader / 8u) % ($BK / 4u)) * 4u;
    let e = (loader % 8u + loader / (2u * $BK) * 8u) * 4u; // along m or n
    var next = block(loads_a, m0 + e, n0 + e, k_begin + k);
    for (var k0 = k_begin; k0 < k_end; k0 += $BK) {
        //@ for i in 0..4
        if (loads_a) {
            tile_a[((k + $i) * $BM + e) / 4u] = next[$i];
        } else {
            tile_b[((k + $i) * $BN + e) / 4u] = next[$i];
        }
        //@ end
        workgroupBarrier();
        // Asked for before the arithmetic, which hides how long it takes. Past the end the last tile is read again.
        next = block(loads_a, m0 + e, n0 + e, min(k0 + $BK, k_end - $BK) + k);
        //@ for l in 0..loops
        for (var kk = 0u; kk < $BK; kk += $UNROLL)
        //@ end
        //@ for l in loops..1
        let kk = 0u;
        //@ end
        {
            //@ for u in 0..UNROLL
            {
                //@ for h in 0..TM/4
                let a_$h = tile_a[(kk + $u) * ($BM / 4u) + tm + $h * ($BM / $TM)];
                //@ end
                //@ for g in 0..TN/4
                let b_$g = tile_b[(kk + $u) * ($BN / 4u) + tn + $g * ($BN / $TN)];
                //@ end
                //@ for m in 0..TM
                //@ let h = m / 4
                //@ let i = m % 4
                //@ for g in 0..TN/4
                acc_$m_$g = fma(vec4<f32>(a_$h[$i]), b_$g, acc_$m_$g);
                //@ end
                //@ end
            }
            //@ end
        }
        workgroupBarrier();
    }

    let beside = vec4<u32>(0u, 1u, 2u, 3u);
    //@ for m in 0..TM
    //@ let h = m / 4
    //@ let i = m % 4
    let m_$m = m0 + tm * 4u + $h * ($BM / ($TM / 4u)) + $i;
    //@ for g in 0..TN/4
    let n_$m_$g = n0 + tn * 4u + $g * ($BN / ($TN / 4u));
    let at_$m_$g = c_row(m_$m, slice) + c_column(n_$m_$g);
    c_put_four(at_$m_$g, finish(acc_$m_$g, batch * p.m + m_$m, n_$m_$g + beside, at_$m_$g + beside));
    //@ end
    //@ end
}

fn block(of_a: bool, m: u32, n: u32, k: u32) -> mat4x4<f32> {
    if (of_a) {
        return a_block(m, k);
    }
    return b_block(n, k);
}
