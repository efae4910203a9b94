// How core/gemm/tiled.wgsl fills its tiles, one element at a time, wherever the op's a_at and b_at find them. What a column's
// operand begins with is worked out once, before the walk: an invocation stages the same columns in every step, and that
// costs divisions. Whole vec4 are staged: writing one component may touch the whole vector, and invocations would race.
// Neighbours stage neighbouring k of a, which lie together where k is along memory; $LDA, BM and a vec4, keeps their stores
// out of each other's banks. BN · BK and BM · BK divide by the invocations, those by BN / 4; M, N, K are guarded.

struct Staged {
    //@ for i in 0..4
    column_$i: Column,
    //@ end
}

fn staged_of(t: u32, n0: u32) -> Staged {
    let n = n0 + (t % ($BN / 4u)) * 4u;
    return Staged(
        //@ for i in 0..4
        column_of(min(n + $i, p.n - 1u)),
        //@ end
    );
}

fn stage(s: Staged, t: u32, m0: u32, n0: u32, k0: u32, k_end: u32) {
    for (var e = t; e < $BM * $BK / 4; e += $THREADS) {
        let k = e % $BK;
        let m = (e / $BK) * 4u;
        var v = vec4<f32>(0.0);
        //@ for i in 0..4
        if (m0 + m + $i < p.m && k0 + k < k_end) {
            v[$i] = a_at(row_of(m0 + m + $i), k0 + k);
        }
        //@ end
        tile_a[(k * $LDA + m) / 4u] = v;
    }
    let n = (t % ($BN / 4u)) * 4u;
    for (var e = t; e < $BN * $BK / 4; e += $THREADS) {
        let k = e / ($BN / 4u);
        var v = vec4<f32>(0.0);
        //@ for i in 0..4
        if (n0 + n + $i < p.n && k0 + k < k_end) {
            v[$i] = b_at(s.column_$i, k0 + k);
        }
        //@ end
        tile_b[(k * $BN + n) / 4u] = v;
    }
}
