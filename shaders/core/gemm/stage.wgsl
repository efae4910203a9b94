// How core/gemm/tiled.wgsl fills its tiles, one element at a time, wherever the op's a_at and b_at find them.
// The vec4 of tile_b hold the columns that core/gemm/tiled.wgsl says.
// An invocation stages $BM · $BK / (4 · $THREADS) vec4 of a and as many of b. Neighbours stage neighbouring k of a, which lie
// together where k is along memory, and neighbouring n of b. The same rows and columns come back in every step of the
// walk, so that what an operand's address begins with is worked out once, before it: that costs divisions.
// No load stands behind a branch. An index past an edge is clamped, and what it gave becomes 0 where it would count. So all
// loads of a step are on their way together, and the first store to workgroup memory waits once. Rows past M and columns
// past N need no 0, because nobody writes their products; k past the end needs one in both operands, because 0 · NaN is NaN.
// Whole vec4 are stored: a store to one component may touch the whole vector, and invocations would race. $LDA, BM and a
// vec4, keeps the stores of a out of each other's banks; $LDB is BN. BN · BK and BM · BK
// divide by 4 · THREADS, THREADS by BN / 4 and BK.

//@ let aparts = BM * BK / 4 / THREADS
//@ let bparts = BN * BK / 4 / THREADS

struct Staged {
    //@ for j in 0..aparts
    //@ for i in 0..4
    row_$j_$i: u32,
    //@ end
    //@ end
    //@ for i in 0..4
    column_$i: Column,
    //@ end
}

fn staged_of(t: u32, m0: u32, n0: u32) -> Staged {
    let m = m0 + (t / $BK) * 4u;
    let of_n = t % ($BN / 4u);
    let n = n0 + (of_n / ($BN / $TN)) * ($BN / $TN * 4u) + (of_n % ($BN / $TN)) * ${NEXT}u;
    return Staged(
        //@ for j in 0..aparts
        //@ for i in 0..4
        row_of(min(m + $j * ($THREADS / $BK * 4u) + $i, p.m - 1u)),
        //@ end
        //@ end
        //@ for i in 0..4
        column_of(min(n + $i * $APART, p.n - 1u)),
        //@ end
    );
}

fn stage(s: Staged, t: u32, m0: u32, n0: u32, k0: u32, k_end: u32) {
    let zero = vec4<f32>(0.0);
    let of_a = t % $BK;
    let k_a = min(k0 + of_a, k_end - 1u);
    //@ for j in 0..aparts
    let a_$j = vec4<f32>(a_at(s.row_$j_0, k_a), a_at(s.row_$j_1, k_a), a_at(s.row_$j_2, k_a), a_at(s.row_$j_3, k_a));
    //@ end
    //@ for j in 0..bparts
    let of_b_$j = t / ($BN / 4u) + $j * ($THREADS / ($BN / 4u));
    let k_$j = min(k0 + of_b_$j, k_end - 1u);
    let b_$j = vec4<f32>(b_at(s.column_0, k_$j), b_at(s.column_1, k_$j), b_at(s.column_2, k_$j), b_at(s.column_3, k_$j));
    //@ end
    //@ for j in 0..aparts
    tile_a[(of_a * $LDA) / 4u + t / $BK + $j * ($THREADS / $BK)] = select(zero, a_$j, k0 + of_a < k_end);
    //@ end
    //@ for j in 0..bparts
    tile_b[of_b_$j * ($LDB / 4u) + t % ($BN / 4u)] = select(zero, b_$j, k0 + of_b_$j < k_end);
    //@ end
}
