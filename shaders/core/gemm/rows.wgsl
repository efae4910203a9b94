// gemm with the reduction outermost, for software adapters: c[m, n] = Σ_g Σ_q a[g, q, m] · b[g, q, n], where g walks an
// (images × rows) grid and q a run within a row, four at a time. It is convolution's gradient to the weight: m is an
// output channel, n a (tap column, input channel), q an output column; wid.z is the tap row.
// A workgroup is one subgroup of $L lanes; a lane owns four neighbouring n and all $TM rows m in registers; a lies in
// panels of $TM rows, loaded $L vec4 in a row by all lanes and spread with subgroupBroadcast from a constant lane; b
// lies in panels of channels, a vec4 a lane and q. n counts (panel, tap column, channel of the panel).
// Packing pads q to a multiple of 4 and m to $TM with zeros and gives b rows long enough to read past the last q.
// Store guards m, the taps and the padded channels.

struct Params {
    m: u32, m_tiles: u32, n4: u32, images: u32,     // n4: vec4 of n in use
    rows: u32, q4: u32, a_panel: u32, b_panel: u32, // output rows, padded Q / 4, vec4 of a panel of a and of b
    b_image: u32, b_row: u32, b_q: u32, b_z: u32,   // strides of b in vec4: image, output row, q, tap row
    c: u32, c4: u32, r: u32, s: u32,                // C, vec4 of a pixel of a panel, R, S of the weight
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> grad_weight: array<f32>;

fn store(m: u32, n4: u32, tap_row: u32, values: vec4<f32>) {
    let tap = (n4 / p.c4) % p.s;
    let channel = ((n4 / (p.c4 * p.s)) * p.c4 + n4 % p.c4) * 4u;
    if (m < p.m && n4 < p.n4) {
        //@ for i in 0..4
        if (channel + $i < p.c) {
            grad_weight[((m * p.c + channel + $i) * p.r + tap_row) * p.s + tap] = values[$i];
        }
        //@ end
    }
}

@compute @workgroup_size($L)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let m0 = (wid.x % p.m_tiles) * $TM;
    let n4 = (wid.x / p.m_tiles) * $L + lane;
    let n = min(n4, p.n4 - 1u);
    let b_lane = (n / (p.c4 * p.s)) * p.b_panel + n % (p.c4 * p.s) + wid.z * p.b_z;
    //@ for m in 0..TM
    var acc_$m = vec4<f32>(0.0);
    //@ end
    var a_at = (wid.x % p.m_tiles) * p.a_panel + lane;
    for (var image = 0u; image < p.images; image++) {
        for (var row = 0u; row < p.rows; row++) {
            var b_at = b_lane + image * p.b_image + row * p.b_row;
            for (var q = 0u; q < p.q4; q++) {
                //@ for kk in 0..4
                let y_$kk = b[b_at + $kk * p.b_q];
                //@ end
                //@ for j in 0..TM/L
                let a_$j = a[a_at + $j * $L];
                //@ end
                // Word w of the [4 q][TM] block is in lane w / 4 mod L of load w / 4L. All four q of a row in one expression: its accumulators are read and written once.
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
                a_at += ${TM}u;
                b_at += 4u * p.b_q;
            }
        }
    }
    //@ for m in 0..TM
    store(m0 + $m, n4, wid.z, acc_$m);
    //@ end
}
