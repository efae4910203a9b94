// conv2d's gradient to its input without a matrix product:
// dx[n, c, h, w] = Σ_{k, r, s} w[k, c, r, s] · dy[n, k, (h + pad − r·dil) / st, (w + pad − s·dil) / st] where that divides.
// An invocation owns four neighbouring inputs of a row, a workgroup 64 such quads in a row of the flattened
// [N, C, H, W / 4]; see direct_forward.wgsl. $R, $S and $STRIDE are text. Nothing must divide.

struct Params {
    m: u32, n: u32, k: u32, k_split: u32,
    c: u32, h: u32, w: u32, p: u32, q: u32, padding: u32, dilation: u32, groups: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let quads = (p.w + 3u) / 4u;
    let i = group_index(wid, groups) * 64u + lane;
    let plane = i / (quads * p.h); // n · C + c
    let w = (i % quads) * 4u;
    let row = (i / quads) % p.h;
    if (plane >= (p.n / (p.h * p.w)) * p.m * p.groups) {
        return;
    }
    let channel = plane % (p.m * p.groups);
    let out_channels = p.k / ($R * $S); // of a group
    let first = (channel / p.m) * out_channels;
    let image = plane / (p.m * p.groups);
    var sum = vec4<f32>(0.0);
    for (var k = first; k < first + out_channels; k++) {
        let w_at = (k * p.m + channel % p.m) * $R * $S;
        //@ for r in 0..R
        {
            // u32 wraps where a tap lies before the first output; the quotient is then past the last one.
            let bottom = row + p.padding - $r * p.dilation;
            if (bottom % $STRIDE == 0u && bottom / $STRIDE < p.p) {
                let dy_at = ((image * out_channels * p.groups + k) * p.p + bottom / $STRIDE) * p.q;
                //@ for s in 0..S
                //@ let tap = r * S + s
                {
                    let right = w + vec4<u32>(0u, 1u, 2u, 3u) + p.padding - $s * p.dilation;
                    let at = right / $STRIDE;
                    let inside = (right % $STRIDE == vec4<u32>(0u)) & (at < vec4<u32>(p.q));
                    let near = dy_at + min(at, vec4<u32>(p.q - 1u));
                    let v = vec4<f32>(dy[near.x], dy[near.y], dy[near.z], dy[near.w]);
                    sum = fma(vec4<f32>(weight[w_at + $tap]), select(vec4<f32>(0.0), v, inside), sum);
                }
                //@ end
            }
        }
        //@ end
    }
    let dx_at = (plane * p.h + row) * p.w + w;
    //@ for i in 0..4
    if (w + $i < p.w) {
        dx[dx_at + $i] = sum[$i];
    }
    //@ end
}
