// How core/gemm/tiled.wgsl fills its tiles from operands whose rows in memory are whole vec4, the twin of core/gemm/stage.wgsl:
// a_four and b_four give elements 4i to 4i + 3. Tiles are vec4 along m and n; an operand that lies along k is read as
// 4 × 4 blocks, a vec4 of each of four rows, and turned in registers.
// The length along memory of both operands must divide by 4, and so must k_split; BM, BN and BK do. What lies along the
// other dimension is guarded: an index past an edge is clamped, as there. An invocation stages vec4
// or a block. Eight neighbours stage blocks side by side along m or n, so that their stores fall into different banks, the next eight are four k further, in the same lines of memory.

struct Staged { a: u32, b: u32 }

fn staged_of(t: u32, m0: u32, n0: u32) -> Staged {
    return Staged(batch * p.a_z, batch * p.b_z);
}

fn stage(s: Staged, t: u32, m0: u32, n0: u32, k0: u32, k_end: u32) {
    let zero = vec4<f32>(0.0);
    // Of a block of four by four.
    let block_k = ((t / 8u) % ($BK / 4u)) * 4u;
    let block_e = (t % 8u + t / (2u * $BK) * 8u) * 4u; // along m or n
    let block_at = min(k0 + block_k, k_end - 4u);
    let block_inside = k0 + block_k < k_end;
    if (p.a_k == 1u) {
        if (t < $BM * $BK / 16) {
            //@ for i in 0..4
            let v_$i = a_four((s.a + min(m0 + block_e + $i, p.m - 1u) * p.a_m + block_at) / 4u);
            let r_$i = select(zero, v_$i, block_inside);
            //@ end
            //@ for i in 0..4
            tile_a[((block_k + $i) * $LDA + block_e) / 4u] = vec4<f32>(r_0[$i], r_1[$i], r_2[$i], r_3[$i]);
            //@ end
        }
    } else {
        let m = (t % ($BM / 4u)) * 4u;
        //@ for j in 0..BM*BK/4/THREADS
        let k_$j = t / ($BM / 4u) + $j * ($THREADS / ($BM / 4u));
        let v_$j = a_four((s.a + min(k0 + k_$j, k_end - 1u) * p.a_k + min(m0 + m, p.m - 4u)) / 4u);
        //@ end
        //@ for j in 0..BM*BK/4/THREADS
        tile_a[(k_$j * $LDA + m) / 4u] = select(zero, v_$j, k0 + k_$j < k_end);
        //@ end
    }
    if (p.b_k == 1u) {
        if (t < $BN * $BK / 16) {
            //@ for i in 0..4
            let v_$i = b_four((s.b + min(n0 + block_e + $i, p.n - 1u) * p.b_n + block_at) / 4u);
            let r_$i = select(zero, v_$i, block_inside);
            //@ end
            //@ for i in 0..4
            tile_b[((block_k + $i) * $LDB + block_e) / 4u] = vec4<f32>(r_0[$i], r_1[$i], r_2[$i], r_3[$i]);
            //@ end
        }
    } else {
        let n = (t % ($BN / 4u)) * 4u;
        //@ for j in 0..BN*BK/4/THREADS
        let k_$j = t / ($BN / 4u) + $j * ($THREADS / ($BN / 4u));
        let v_$j = b_four((s.b + min(k0 + k_$j, k_end - 1u) * p.b_k + min(n0 + n, p.n - 4u)) / 4u);
        //@ end
        //@ for j in 0..BN*BK/4/THREADS
        tile_b[(k_$j * $LDB + n) / 4u] = select(zero, v_$j, k0 + k_$j < k_end);
        //@ end
    }
}
