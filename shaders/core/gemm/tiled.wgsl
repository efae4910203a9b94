// gemm, tiled for GPUs: c[z, m, n] = Σ_k a[z, m, k] · b[z, k, n] through workgroup memory.
// The op's own pieces say where operands come from and results go: c_row and c_column, whose sum is the index, c_put, p.m,
// p.n, p.k, p.k_split, depth (how long the sum of this z is, at most p.k), and `stage`, which fills tile_a and tile_b, from
// core/gemm/stage.wgsl where it has row_of, column_of, a_at and b_at; `put4` how four columns end: core/gemm/put4_f32.wgsl.
// A workgroup of $THREADS invocations owns $BM × $BN outputs and walks k in steps of $BK: all load one tile of a and of
// b (b's along n, so that neighbours read neighbours), then each invocation updates $TM × $TN outputs in named vec4
// registers: its columns are $TN / 4 groups of four, $BN / ($TN / 4) apart, which keeps workgroup reads free of bank
// conflicts. The four of a group are $APART apart, and those of the next lane begin $NEXT further. Where numbers are stored one
// by one that is $BN / $TN and 1: neighbouring lanes store neighbours in memory, and load them where b lies along n. Where
// whole vec4 are loaded, or two halves stored as a word, it is 1 and 4. wid.z counts (z, slice of k): `batch`, z, is the
// product of a batch, or the group of a convolution and its phase; long thin products are cut into slices, p.k_split long, that
// the op adds up in order.
// $UNROLL steps of the walk through a tile are text, a part of its $BK or all of them: then there is no loop, and indices, which
// count vec4, cost no instruction.
// BM, BN divide by the register tile; rows of the tiles have $LDA and $LDB elements, of which BM and BN are used; M, N, K are
// guarded.

//@ let loops = 1 - UNROLL/BK
var<private> batch: u32;
var<workgroup> tile_a: array<vec4<f32>, $BK * $LDA / 4>;
var<workgroup> tile_b: array<vec4<f32>, $BK * $LDB / 4>;

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
    let tm = t / ($BN / $TN); // in vec4
    let tn = t % ($BN / $TN);
    let slices = (p.k + p.k_split - 1u) / p.k_split;
    let z = wid.z / slices;
    batch = z;
    let slice = wid.z % slices;
    let k_begin = slice * p.k_split;
    let k_end = min(k_begin + p.k_split, depth(z));

    //@ for m in 0..TM
    //@ for g in 0..TN/4
    var acc_$m_$g = vec4<f32>(0.0);
    //@ end
    //@ end

    let staged = staged_of(t, m0, n0);
    for (var k0 = k_begin; k0 < k_end; k0 += $BK) {
        stage(staged, t, m0, n0, k0, k_end);
        workgroupBarrier();
        //@ for l in 0..loops
        for (var k = 0u; k < $BK; k += $UNROLL)
        //@ end
        //@ for l in loops..1
        let k = 0u;
        //@ end
        {
            //@ for u in 0..UNROLL
            {
                //@ for h in 0..TM/4
                let a_$h = tile_a[(k + $u) * ($LDA / 4u) + tm + $h * ($BM / $TM)];
                //@ end
                //@ for g in 0..TN/4
                let b_$g = tile_b[(k + $u) * ($LDB / 4u) + tn + $g * ($BN / $TN)];
                //@ end
                //@ for m in 0..TM
                //@ let h = m / 4
                //@ let e = m % 4
                //@ for g in 0..TN/4
                acc_$m_$g = fma(vec4<f32>(a_$h[$e]), b_$g, acc_$m_$g);
                //@ end
                //@ end
            }
            //@ end
        }
        workgroupBarrier();
    }

    //@ for g in 0..TN/4
    let n_$g = n0 + tn * ${NEXT}u + $g * ($BN / ($TN / 4u));
    let columns_$g = min(n_$g + vec4<u32>(0u, 1u, 2u, 3u) * ${APART}u, vec4<u32>(p.n - 1u));
    let places_$g = vec4<u32>(c_column(columns_$g.x), c_column(columns_$g.y), c_column(columns_$g.z), c_column(columns_$g.w));
    //@ end
    //@ for m in 0..TM
    //@ let h = m / 4
    //@ let e = m % 4
    let m_$m = m0 + tm * 4u + $h * ($BM / ($TM / 4u)) + $e;
    //@ for g in 0..TN/4
    put4(m_$m, n_$g, columns_$g, c_row(m_$m, slice) + places_$g, acc_$m_$g);
    //@ end
    //@ end
}
