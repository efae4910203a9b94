// gemm, tiled for GPUs: c[z, m, n] = Σ_k a[z, m, k] · b[z, k, n] through workgroup memory.
// The op's own piece says where operands come from: row_of, column_of, a_at, b_at, c_at, c_put, and p.m, p.n, p.k,
// p.k_split; `finish` how the product ends: shaders/epilogue/.
// A workgroup of $THREADS invocations owns $BM × $BN outputs and walks k in steps of $BK: all load one tile of a and of
// b (b's along n, so that neighbours read neighbours), then each invocation updates $TM × $TN outputs in named vec4
// registers: its columns are $TN / 4 groups of four, $BN / ($TN / 4) apart, which keeps workgroup reads free of bank
// conflicts. wid.z counts (z, slice of k): `batch`, z, is the product of a batch or the group of a convolution; long thin
// products are cut into slices, p.k_split long, that the op adds up in order.
// What a column's operand begins with is worked out once, before the walk: an invocation stages the same columns in
// every step, and that costs divisions.
// BM, BN divide by the register tile, BM · BK and BN · BK by the invocations, those by BN / 4; M, N, K are guarded.

var<private> batch: u32;
var<workgroup> tile_a: array<vec4<f32>, $BK * $BM / 4>;
var<workgroup> tile_b: array<vec4<f32>, $BK * $BN / 4>;

@compute @workgroup_size($THREADS)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
    let tiles_n = (p.n + $BN - 1u) / $BN;
    let tile = group_index(wid, groups);
    let m0 = (tile / tiles_n) * $BM;
    let n0 = (tile % tiles_n) * $BN;
    if (m0 >= p.m) {
        return; // surplus of the folded grid: the whole workgroup leaves
    }
    let tm = (t / ($BN / $TN)) * 4u;
    let tn = (t % ($BN / $TN)) * 4u;
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

    let staged = (t % ($BN / 4u)) * 4u;
    //@ for i in 0..4
    let column_$i = column_of(min(n0 + staged + $i, p.n - 1u));
    //@ end

    for (var k0 = k_begin; k0 < k_end; k0 += $BK) {
        // Whole vec4 are staged: writing one component may touch the whole vector, and invocations would race.
        for (var e = t; e < $BM * $BK / 4; e += $THREADS) {
            let k = e % $BK;
            let m = (e / $BK) * 4u;
            var v = vec4<f32>(0.0);
            //@ for i in 0..4
            if (m0 + m + $i < p.m && k0 + k < k_end) {
                v[$i] = a_at(row_of(m0 + m + $i), k0 + k);
            }
            //@ end
            tile_a[(k * $BM + m) / 4u] = v;
        }
        for (var e = t; e < $BN * $BK / 4; e += $THREADS) {
            let k = e / ($BN / 4u);
            var v = vec4<f32>(0.0);
            //@ for i in 0..4
            if (n0 + staged + $i < p.n && k0 + k < k_end) {
                v[$i] = b_at(column_$i, k0 + k);
            }
            //@ end
            tile_b[(k * $BN + staged) / 4u] = v;
        }
        workgroupBarrier();
        for (var k = 0u; k < $BK; k++) {
            //@ for h in 0..TM/4
            let a_$h = tile_a[(k * $BM + tm + $h * ($BM / ($TM / 4u))) / 4u];
            //@ end
            //@ for g in 0..TN/4
            let b_$g = tile_b[(k * $BN + tn + $g * ($BN / ($TN / 4u))) / 4u];
            //@ end
            //@ for m in 0..TM
            //@ let h = m / 4
            //@ let e = m % 4
            //@ for g in 0..TN/4
            acc_$m_$g = fma(vec4<f32>(a_$h[$e]), b_$g, acc_$m_$g);
            //@ end
            //@ end
        }
        workgroupBarrier();
    }

    //@ for m in 0..TM
    //@ let h = m / 4
    //@ let e = m % 4
    //@ for g in 0..TN/4
    put4(m0 + tm + $h * ($BM / ($TM / 4u)) + $e, n0 + tn + $g * ($BN / ($TN / 4u)), slice, acc_$m_$g);
    //@ end
    //@ end
}

fn put4(m: u32, n: u32, slice: u32, v: vec4<f32>) {
    if (m < p.m) {
        let columns = min(n + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.n - 1u));
        //@ for i in 0..4
        let at_$i = c_at(m, columns[$i], slice);
        //@ end
        let out = finish(v, batch * p.m + m, columns, vec4<u32>(at_0, at_1, at_2, at_3));
        //@ for i in 0..4
        if (n + $i < p.n) {
            c_put(at_$i, out[$i]);
        }
        //@ end
    }
}
