// How core/gemm/tiled.wgsl fills its tiles where all k of a step belong to one tap of a window, the twin of
// core/gemm/stage.wgsl for conv2d. k counts (block of $BK channels, tap, channel of the block), so that the op's tap_at(k0)
// divides once a step, in numbers that are the same for the whole workgroup, and the op's near decides once for each column
// whether the tap lies in the border. The taps of a block follow each other: they read the same lines of b, which are in a
// cache then.
// a is packed as vec4 of four rows, neighbours along k: quad_of says where those of four rows begin. An invocation stages
// $BM · $BK / (4 · $THREADS) of them, and as many vec4 of b as there. Rows and columns past the edges are clamped as there; no k
// is past the end, because depth and p.k_split are multiples of $BK.
// BN · BK and BM · BK divide by 4 · THREADS, THREADS by BN / 4 and BK.

//@ let aparts = BM * BK / 4 / THREADS
//@ let bparts = BN * BK / 4 / THREADS

struct Staged {
    //@ for j in 0..aparts
    quad_$j: u32,
    //@ end
    //@ for i in 0..4
    column_$i: Column,
    //@ end
}

fn staged_of(t: u32, m0: u32, n0: u32) -> Staged {
    let quad = m0 / 4u + t / $BK;
    let of_n = t % ($BN / 4u);
    let n = n0 + (of_n / ($BN / $TN)) * ($BN / $TN * 4u) + (of_n % ($BN / $TN)) * ${NEXT}u;
    return Staged(
        //@ for j in 0..aparts
        quad_of(min(quad + $j * ($THREADS / $BK), (p.m - 1u) / 4u)) + t % $BK,
        //@ end
        //@ for i in 0..4
        deeper(column_of(min(n + $i * $APART, p.n - 1u)), t / ($BN / 4u)),
        //@ end
    );
}

fn stage(s: Staged, t: u32, m0: u32, n0: u32, k0: u32, k_end: u32) {
    let tap = tap_at(k0);
    //@ for j in 0..aparts
    let a_$j = a_four(s.quad_$j + tap.a);
    //@ end
    //@ for i in 0..4
    let near_$i = near(s.column_$i, tap);
    //@ end
    //@ for j in 0..bparts
    //@ let d = j * THREADS / (BN/4)
    let b_$j = vec4<f32>(b_near(near_0, ${d}u), b_near(near_1, ${d}u), b_near(near_2, ${d}u), b_near(near_3, ${d}u));
    //@ end
    //@ for j in 0..aparts
    tile_a[((t % $BK) * $LDA) / 4u + t / $BK + $j * ($THREADS / $BK)] = a_$j;
    //@ end
    //@ for j in 0..bparts
    //@ let d = j * THREADS / (BN/4)
    tile_b[(t / ($BN / 4u) + ${d}u) * ($LDB / 4u) + t % ($BN / 4u)] = b_$j;
    //@ end
}
