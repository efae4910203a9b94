// conv2d's gradient to its weight without a matrix product:
// dw[k, c, r, s] = Σ_{n, p, q} dy[n, k, p, q] · x[n, c, p·st + r·dil − pad, q·st + s·dil − pad].
// A workgroup owns one weight; its 64 invocations walk the outputs (n, p, q) of channel k side by side, so that
// neighbours read neighbours, and add up in a fixed order. For grouped convolutions, where a matrix product would have
// few rows or columns. $R, $S and $STRIDE are text. Nothing must divide.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    c: u32, h: u32, w: u32, p: u32, q: u32, padding: u32, dilation: u32, groups: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let i = group_index(wid, groups); // (k, c, r, s)
    let count = p.m * p.groups * p.n;
    let tap = i % ($R * $S);
    let k = (i / p.n) % (p.m * p.groups);
    let channel = (k / p.m) * p.c + (i / ($R * $S)) % p.c;
    let top = (tap / $S) * p.dilation - p.padding;
    let left = (tap % $S) * p.dilation - p.padding;
    let plane = p.p * p.q;
    let end = select(p.k, 0u, i >= count); // the surplus of a folded grid walks nothing
    var part = 0.0;
    for (var at = lane; at < end; at += 64u) {
        let image = at / plane;
        let in_plane = at % plane;
        let h = (in_plane / p.q) * $STRIDE + top;
        let w = (in_plane % p.q) * $STRIDE + left;
        if (h < p.h && w < p.w) {
            let v = x[((image * p.groups * p.c + channel) * p.h + h) * p.w + w];
            part = fma(dy[(image * p.m * p.groups + k) * plane + in_plane], v, part);
        }
    }
    let sum = sum64(me, vec2<f32>(part, 0.0)).x;
    if (lane == 0u && i < count) {
        dw[i] = sum;
    }
}
