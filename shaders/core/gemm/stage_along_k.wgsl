// How core/gemm/tiled.wgsl fills its tiles where both operands lie along k, the twin of core/gemm/stage.wgsl for conv2d's
// gradient to its weight, whose k walks over the output's planes.
// Eight neighbours stage neighbouring k of the same rows and columns, so that they read neighbours of both operands. An
// invocation stages one k in a step of the walk: the op's line_of works out once what that k means, at the price of
// divisions by numbers that are no text; a_on and b_on then cost additions.
// Loads, clamped indices and zeros: as there. $LDA and $LDB are a vec4 longer than BM and BN, for the sake of banks. BK is 8.

//@ let aparts = BM * BK / 4 / THREADS
//@ let bparts = BN * BK / 4 / THREADS

struct Staged {
    //@ for j in 0..aparts
    //@ for i in 0..4
    row_$j_$i: u32,
    //@ end
    //@ end
    //@ for j in 0..bparts
    //@ for i in 0..4
    column_$j_$i: Column,
    //@ end
    //@ end
}

fn staged_of(t: u32, m0: u32, n0: u32) -> Staged {
    let m = m0 + (t / $BK) * 4u;
    //@ for j in 0..bparts
    let of_n_$j = t / $BK + $j * ($THREADS / $BK);
    let n_$j = n0 + (of_n_$j / ($BN / $TN)) * ($BN / $TN * 4u) + (of_n_$j % ($BN / $TN)) * ${NEXT}u;
    //@ end
    return Staged(
        //@ for j in 0..aparts
        //@ for i in 0..4
        row_of(min(m + $j * ($THREADS / $BK * 4u) + $i, p.m - 1u)),
        //@ end
        //@ end
        //@ for j in 0..bparts
        //@ for i in 0..4
        column_of(min(n_$j + $i * $APART, p.n - 1u)),
        //@ end
        //@ end
    );
}

fn stage(s: Staged, t: u32, m0: u32, n0: u32, k0: u32, k_end: u32) {
    let zero = vec4<f32>(0.0);
    let k = t % $BK;
    let inside = k0 + k < k_end;
    let line = line_of(min(k0 + k, k_end - 1u));
    //@ for j in 0..aparts
    let a_$j = vec4<f32>(a_on(s.row_$j_0, line), a_on(s.row_$j_1, line), a_on(s.row_$j_2, line), a_on(s.row_$j_3, line));
    //@ end
    //@ for j in 0..bparts
    //@ for i in 0..4
    let b_$j_$i = b_on(s.column_$j_$i, line);
    //@ end
    //@ end
    //@ for j in 0..aparts
    tile_a[(k * $LDA) / 4u + t / $BK + $j * ($THREADS / $BK)] = select(zero, a_$j, inside);
    //@ end
    //@ for j in 0..bparts
    tile_b[k * ($LDB / 4u) + t / $BK + $j * ($THREADS / $BK)] = select(zero, vec4<f32>(b_$j_0, b_$j_1, b_$j_2, b_$j_3), inside);
    //@ end
}
