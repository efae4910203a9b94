// gemm, for software adapters: c[m, column] = Σ_tap Σ_k a[tap, k, m] · b[column, tap, k].
// Such an adapter runs a subgroup as one vector of the CPU: a load is a loop over lanes whatever its address, only
// arithmetic per load counts. So a workgroup is one subgroup of $L lanes; a lane owns four columns and all $TM rows of
// the tile in registers; rows of a are loaded once by all lanes together, $L vec4 in a row, and spread with
// subgroupBroadcast from a constant lane. b is walked along k, four k a vec4, and needs no guard: it is packed with its
// borders of zeros. Columns are (n, u, v) of p.u × p.v planes with strides, taps an i × j grid with (wrapping) strides:
// one kernel serves matmul, convolution and its gradient to the input. wid.z is the product of a batch.
// K is padded to 4 and M to $TM by packing; surplus columns recompute the last one and are not stored.
// The store_ piece defines the output buffer and store(first element, m, lane's first column, plane, values).

struct Params {
    m: u32, columns: u32, m_tiles: u32, a_panel: u32,         // a_panel: vec4 of a panel of a
    u: u32, v: u32, b_n: u32, b_u: u32, b_v: u32, b_start: u32, // strides of b in vec4
    taps_i: u32, taps_j: u32, b_i: u32, b_j: u32,             // taps and their strides in b
    a_start: u32, a_i: u32, a_j: u32, k4: u32,                // first k of a, k between taps, k / 4 per tap
    c_n: u32, c_m: u32, c_u: u32, c_v: u32, c_start: u32,     // strides of c in elements
    a_z: u32, b_z: u32, c_z: u32,                             // from one product of a batch to the next
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;

fn b_base(z: u32, column: u32) -> u32 {
    let col = min(column, p.columns - 1u);
    let plane = p.u * p.v;
    let in_plane = col % plane;
    return z * p.b_z + p.b_start + (col / plane) * p.b_n + (in_plane / p.v) * p.b_u + (in_plane % p.v) * p.b_v;
}

@compute @workgroup_size($L)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(subgroup_invocation_id) lane: u32) {
    let tile = group_index(wid, groups);
    let column = (tile / p.m_tiles) * (4u * $L) + lane * 4u;
    if ((tile / p.m_tiles) * (4u * $L) >= p.columns) {
        return;
    }
    let m0 = (tile % p.m_tiles) * $TM;
    let b_0 = b_base(wid.z, column);
    let b_1 = b_base(wid.z, column + 1u);
    let b_2 = b_base(wid.z, column + 2u);
    let b_3 = b_base(wid.z, column + 3u);
    let panel = wid.z * p.a_z + (tile % p.m_tiles) * p.a_panel + lane;
    //@ for m in 0..TM
    var acc_$m = vec4<f32>(0.0);
    //@ end

    for (var i = 0u; i < p.taps_i; i++) {
        for (var tap = 0u; tap < p.taps_j; tap++) {
            var at = panel + (p.a_start + i * p.a_i + tap * p.a_j) * ($TM / 4u);
            let off = i * p.b_i + tap * p.b_j;
            for (var k = 0u; k < p.k4; k++) {
                let x_0 = b[b_0 + off + k];
                let x_1 = b[b_1 + off + k];
                let x_2 = b[b_2 + off + k];
                let x_3 = b[b_3 + off + k];
                //@ for kk in 0..4
                let y_$kk = vec4<f32>(x_0[$kk], x_1[$kk], x_2[$kk], x_3[$kk]);
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
        }
    }
    let plane = p.u * p.v;
    //@ for m in 0..TM
    if (m0 + $m < p.m) {
        store(p.c_start + wid.z * p.c_z, m0 + $m, column, plane, acc_$m);
    }
    //@ end
}
