// How core/gemm/tiled.wgsl fills its tiles from operands whose rows in memory are whole vec4, the twin of core/gemm/stage.wgsl:
// a_four and b_four give elements 4i to 4i + 3. Tiles are vec4 along m and n. $ATURNS and $BTURNS say, as 1 or 0, which
// operand lies along k: it is read as 4 × 4 blocks, a vec4 of each of four rows, and turned in registers.
// The length along memory of both operands must divide by 4, and so must k_split; BM, BN and BK do. What lies along the
// other dimension is guarded: an index past an edge is clamped, as there. All loads come before the first store, so that
// they are on their way together. An invocation stages some vec4 or a block. Eight neighbours stage blocks side by side
// along m or n, so that their stores fall into different banks, the next eight are four k further, in the same lines of
// memory. Where blocks are fewer than invocations, the first ones stage those of a and the last ones those of b.

//@ let ablocks = BM*BK/16
//@ let bblocks = BN*BK/16
struct Staged { a: u32, b: u32 }

fn staged_of(t: u32, m0: u32, n0: u32) -> Staged {
    return Staged(batch * p.a_z, batch * p.b_z);
}

// Where the block of invocation `t` begins in a tile: its k, and its m or n.
fn block_of(t: u32) -> vec2<u32> {
    return vec2<u32>((t / 8u) % ($BK / 4u), t % 8u + t / (2u * $BK) * 8u) * 4u;
}

fn stage(s: Staged, t: u32, m0: u32, n0: u32, k0: u32, k_end: u32) {
    let zero = vec4<f32>(0.0);
    //@ for l in 0..ATURNS
    let a_block = block_of(t);
    let a_k = min(k0 + a_block.x, k_end - 4u);
    var a: mat4x4<f32>;
    if (t < ${ablocks}u) {
        a = mat4x4<f32>(
            //@ for i in 0..4
            a_four((s.a + min(m0 + a_block.y + $i, p.m - 1u) * p.a_m + a_k) / 4u),
            //@ end
        );
    }
    //@ end
    //@ for l in ATURNS..1
    let m = (t % ($BM / 4u)) * 4u;
    //@ for j in 0..BM*BK/4/THREADS
    let a_k_$j = t / ($BM / 4u) + $j * ($THREADS / ($BM / 4u));
    let a_$j = a_four((s.a + min(k0 + a_k_$j, k_end - 1u) * p.a_k + min(m0 + m, p.m - 4u)) / 4u);
    //@ end
    //@ end
    //@ for l in 0..BTURNS
    let loads_b = t >= $THREADS - ${bblocks}u;
    let b_block = block_of(t % ${bblocks}u);
    let b_k = min(k0 + b_block.x, k_end - 4u);
    var b: mat4x4<f32>;
    if (loads_b) {
        b = mat4x4<f32>(
            //@ for i in 0..4
            b_four((s.b + min(n0 + b_block.y + $i, p.n - 1u) * p.b_n + b_k) / 4u),
            //@ end
        );
    }
    //@ end
    //@ for l in BTURNS..1
    let n = (t % ($BN / 4u)) * 4u;
    //@ for j in 0..BN*BK/4/THREADS
    let b_k_$j = t / ($BN / 4u) + $j * ($THREADS / ($BN / 4u));
    let b_$j = b_four((s.b + min(k0 + b_k_$j, k_end - 1u) * p.b_k + min(n0 + n, p.n - 4u)) / 4u);
    //@ end
    //@ end

    //@ for l in 0..ATURNS
    if (t < ${ablocks}u) {
        let turned = transpose(a);
        //@ for i in 0..4
        tile_a[((a_block.x + $i) * $LDA + a_block.y) / 4u] = select(zero, turned[$i], k0 + a_block.x < k_end);
        //@ end
    }
    //@ end
    //@ for l in ATURNS..1
    //@ for j in 0..BM*BK/4/THREADS
    tile_a[(a_k_$j * $LDA + m) / 4u] = select(zero, a_$j, k0 + a_k_$j < k_end);
    //@ end
    //@ end
    //@ for l in 0..BTURNS
    if (loads_b) {
        let turned = transpose(b);
        //@ for i in 0..4
        tile_b[((b_block.x + $i) * $LDB + b_block.y) / 4u] = select(zero, turned[$i], k0 + b_block.x < k_end);
        //@ end
    }
    //@ end
    //@ for l in BTURNS..1
    //@ for j in 0..BN*BK/4/THREADS
    tile_b[(b_k_$j * $LDB + n) / 4u] = select(zero, b_$j, k0 + b_k_$j < k_end);
    //@ end
    //@ end
}
