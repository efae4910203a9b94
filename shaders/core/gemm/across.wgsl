// gemm for software adapters whose right operand lies along its columns: c[z, m, n] = Σ_k a[z, m, k] · b[z, k, n].
// As core/gemm/columns.wgsl, but b is read as it lies in memory, a vec4 of four neighbouring columns a lane and k, so it is
// not packed: 1×1 convolutions of stride 1 and plain matrix products. A workgroup is one subgroup of $L lanes; a lane
// owns four columns and all $TM rows of the tile in registers; a lies in panels of $TM rows, loaded $L vec4 in a row
// by all lanes together and spread with subgroupBroadcast from a constant lane. wid.z is z.
// N is a multiple of 4; K is padded to 4 in a by packing, and reads of b past it are drawn back to its last row, which
// meets zeros of a. Surplus columns recompute the last ones and are not stored. `finish`: shaders/core/epilogue/.

struct Params {
    m: u32, m_tiles: u32, n4: u32, k: u32, // n4: N / 4
    a_panel: u32, a_z: u32,                // vec4 of a panel of a, and from one z to the next
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;

@compute @workgroup_size($L)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(subgroup_invocation_id) lane: u32) {
    let tile = group_index(wid, groups);
    if ((tile / p.m_tiles) * $L >= p.n4) {
        return;
    }
    let m0 = (tile % p.m_tiles) * $TM;
    let column = (tile / p.m_tiles) * $L + lane;
    let b_lane = wid.z * p.k * p.n4 + min(column, p.n4 - 1u);
    let last = (p.k - 1u) * p.n4;
    var at = wid.z * p.a_z + (tile % p.m_tiles) * p.a_panel + lane;
    //@ for m in 0..TM
    var acc_$m = vec4<f32>(0.0);
    //@ end
    for (var k = 0u; k < p.k; k += 4u) {
        //@ for kk in 0..4
        let y_$kk = b[b_lane + min((k + $kk) * p.n4, last)];
        //@ end
        //@ for j in 0..TM/L
        let a_$j = a[at + $j * $L];
        //@ end
        // Word w of the [4 k][TM] block is in lane w / 4 mod L of load w / 4L. All four k of a row in one expression: its accumulators are read and written once.
        //@ for g in 0..TM/4
        //@ for kk in 0..4
        //@ let word = kk*TM + g*4
        //@ let j = word / (4*L)
        //@ let l = word / 4 % L
        let w_$g_$kk = subgroupBroadcast(a_$j, ${l}u);
        //@ end
        //@ for e in 0..4
        //@ let m = g*4 + e
        acc_$m = acc_$m + w_$g_0[$e] * y_0 + w_$g_1[$e] * y_1 + w_$g_2[$e] * y_2 + w_$g_3[$e] * y_3;
        //@ end
        //@ end
        at += ${TM}u;
    }
    let next = vec4<u32>(0u, 1u, 2u, 3u);
    //@ for m in 0..TM
    if (m0 + $m < p.m && column < p.n4) {
        let at_$m = (wid.z * p.m + m0 + $m) * p.n4 + column;
        c[at_$m] = finish(acc_$m, m0 + $m, column * 4u + next, at_$m * 4u + next);
    }
    //@ end
}
