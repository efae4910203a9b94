// How core/gemm/tiled.wgsl fills its tiles from operands whose rows in memory are whole vec4, the twin of core/gemm/stage.wgsl:
// a_four and b_four give elements 4i to 4i + 3. Tiles are vec4 along m and n; an operand that lies along k is read as
// 4 × 4 blocks, a vec4 of each of four rows, and turned in registers.
// The length along memory of both operands must divide by 4, and so must k_split; BM, BN and BK do. What lies along the
// other dimension is guarded. An invocation stages a vec4 or a block. Eight neighbours stage blocks side by side along m or
// n, so that their stores fall into different banks, the next eight are four k further, in the same lines of memory.

struct Staged { a: u32, b: u32 }

fn staged_of(t: u32, n0: u32) -> Staged {
    return Staged(batch * p.a_z, batch * p.b_z);
}

fn stage(s: Staged, t: u32, m0: u32, n0: u32, k0: u32, k_end: u32) {
    if (p.a_k == 1u) {
        for (var e = t; e < $BM * $BK / 16; e += $THREADS) {
            let k = ((e / 8u) % ($BK / 4u)) * 4u;
            let m = (e % 8u + e / (2u * $BK) * 8u) * 4u;
            //@ for i in 0..4
            var r_$i = vec4<f32>(0.0);
            if (m0 + m + $i < p.m && k0 + k < k_end) {
                r_$i = a_four((s.a + (m0 + m + $i) * p.a_m + k0 + k) / 4u);
            }
            //@ end
            //@ for i in 0..4
            tile_a[((k + $i) * $LDA + m) / 4u] = vec4<f32>(r_0[$i], r_1[$i], r_2[$i], r_3[$i]);
            //@ end
        }
    } else {
        for (var e = t; e < $BM * $BK / 4; e += $THREADS) {
            let m = (e % ($BM / 4u)) * 4u;
            let k = e / ($BM / 4u);
            var v = vec4<f32>(0.0);
            if (m0 + m < p.m && k0 + k < k_end) {
                v = a_four((s.a + (k0 + k) * p.a_k + m0 + m) / 4u);
            }
            tile_a[(k * $LDA + m) / 4u] = v;
        }
    }
    if (p.b_k == 1u) {
        for (var e = t; e < $BN * $BK / 16; e += $THREADS) {
            let k = ((e / 8u) % ($BK / 4u)) * 4u;
            let n = (e % 8u + e / (2u * $BK) * 8u) * 4u;
            //@ for i in 0..4
            var r_$i = vec4<f32>(0.0);
            if (n0 + n + $i < p.n && k0 + k < k_end) {
                r_$i = b_four((s.b + (n0 + n + $i) * p.b_n + k0 + k) / 4u);
            }
            //@ end
            //@ for i in 0..4
            tile_b[((k + $i) * $BN + n) / 4u] = vec4<f32>(r_0[$i], r_1[$i], r_2[$i], r_3[$i]);
            //@ end
        }
    } else {
        for (var e = t; e < $BN * $BK / 4; e += $THREADS) {
            let n = (e % ($BN / 4u)) * 4u;
            let k = e / ($BN / 4u);
            var v = vec4<f32>(0.0);
            if (n0 + n < p.n && k0 + k < k_end) {
                v = b_four((s.b + (k0 + k) * p.b_k + n0 + n) / 4u);
            }
            tile_b[(k * $BN + n) / 4u] = v;
        }
    }
}
