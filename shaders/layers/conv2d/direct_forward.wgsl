// conv2d forward without a matrix product: y[n, k, p, q] = Σ_{c, r, s} w[k, c, r, s] · x[n, c, p·st + r·dil − pad, …].
// For depthwise and grouped convolutions and few channels, where a tile of a product would be mostly empty. An
// invocation owns four neighbouring outputs of a row, so that a weight is read once for four products and the inputs of
// neighbouring windows come from the cache; a workgroup owns 64 such quads in a row of the flattened [N, K, P, Q / 4].
// $R, $S and $STRIDE are text: the window is unrolled. `finish`: shaders/core/epilogue/. Nothing must divide.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    c: u32, h: u32, w: u32, p: u32, q: u32, padding: u32, dilation: u32, groups: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let quads = (p.q + 3u) / 4u;
    let i = group_index(wid, groups) * 64u + lane;
    let plane = i / (quads * p.p); // n · K + k
    let q = (i % quads) * 4u;
    let row = (i / quads) % p.p;
    if (plane >= (p.n / (p.p * p.q)) * p.m * p.groups) {
        return;
    }
    let out_channel = plane % (p.m * p.groups);
    let first = (plane / (p.m * p.groups)) * p.c * p.groups + (out_channel / p.m) * p.c; // n · C + first channel
    var sum = vec4<f32>(0.0);
    for (var c = 0u; c < p.c; c++) {
        let w_at = (out_channel * p.c + c) * $R * $S;
        //@ for r in 0..R
        {
            // u32 wraps in the border, and one comparison guards both ends.
            let h = row * $STRIDE + $r * p.dilation - p.padding;
            if (h < p.h) {
                let x_at = ((first + c) * p.h + h) * p.w;
                //@ for s in 0..S
                //@ let tap = r * S + s
                {
                    let left = q * $STRIDE + $s * p.dilation - p.padding;
                    let at = left + vec4<u32>(0u, ${STRIDE}u, 2u * $STRIDE, 3u * $STRIDE);
                    let inside = at < vec4<u32>(p.w);
                    let near = x_at + min(at, vec4<u32>(p.w - 1u));
                    let v = vec4<f32>(x[near.x], x[near.y], x[near.z], x[near.w]);
                    sum = fma(vec4<f32>(weight[w_at + $tap]), select(vec4<f32>(0.0), v, inside), sum);
                }
                //@ end
            }
        }
        //@ end
    }
    let y_at = (plane * p.p + row) * p.q + q;
    let next = vec4<u32>(0u, 1u, 2u, 3u);
    let out = finish(sum, out_channel, next, y_at + min(next, vec4<u32>(p.q - 1u - q)));
    //@ for i in 0..4
    if (q + $i < p.q) {
        y[y_at + $i] = out[$i];
    }
    //@ end
}
