// gemm with the reduction outermost, for software adapters: c[m, n] = Σ_g Σ_q a[g, q, m] · b[g, q, n], where g walks an
// (images × rows) grid and q a run within a row, four at a time. It is convolution's gradient to the weight: m is an
// output channel, n a (tap column, input channel), q an output column; wid.z is the tap row.
// A workgroup is one subgroup of $L lanes; a lane owns four neighbouring n and all $TM rows m in registers; a is loaded
// $L vec4 in a row by all lanes and spread with subgroupBroadcast from a constant lane, b is a vec4 a lane and q.
// Packing pads q to a multiple of 4 and m to $TM with zeros and gives b rows long enough to read past the last q.
// Store guards m, the taps and the padded channels.

struct Params {
    m: u32, m_tiles: u32, n4: u32, images: u32,     // n4: vec4 of n in use (S · padded C / 4)
    rows: u32, q4: u32, a_row: u32,                 // output rows, padded Q / 4, vec4 of a for one q
    b_image: u32, b_row: u32, b_q: u32, b_z: u32,   // strides of b in vec4: image, output row, q, tap row
    c: u32, c4: u32, r: u32, s: u32,                // C, padded C / 4, R, S of the weight
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> grad_weight: array<f32>;

fn store(m: u32, n4: u32, tap_row: u32, values: vec4<f32>) {
    let tap = n4 / p.c4;
    let channel = (n4 % p.c4) * 4u;
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
    let b_lane = min(n4, p.n4 - 1u) + wid.z * p.b_z;
    //@ for j in 0..TM/L
    let word_$j = ($j * $L + lane) * 4u;
    let a_off_$j = (word_$j / $TM) * p.a_row + (word_$j % $TM) / 4u + m0 / 4u;
    //@ end
    //@ for m in 0..TM
    var acc_$m = vec4<f32>(0.0);
    //@ end
    var a_at = 0u;
    for (var image = 0u; image < p.images; image++) {
        for (var row = 0u; row < p.rows; row++) {
            var b_at = b_lane + image * p.b_image + row * p.b_row;
            for (var q = 0u; q < p.q4; q++) {
                //@ for kk in 0..4
                let y_$kk = b[b_at + $kk * p.b_q];
                //@ end
                //@ for j in 0..TM/L
                let a_$j = a[a_at + a_off_$j];
                //@ for l in 0..L
                //@ let kk = (j*L + l) * 4 / TM
                let w_$j_$l = subgroupBroadcast(a_$j, ${l}u);
                //@ for e in 0..4
                //@ let m = ((j*L + l) * 4 + e) % TM
                acc_$m += w_$j_$l[$e] * y_$kk;
                //@ end
                //@ end
                //@ end
                a_at += 4u * p.a_row;
                b_at += 4u * p.b_q;
            }
        }
    }
    //@ for m in 0..TM
    store(m0 + $m, n4, wid.z, acc_$m);
    //@ end
}
