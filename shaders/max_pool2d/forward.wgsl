// max_pool2d: y and argmax of each window, one invocation an output element. The first maximum in row order wins and a
// NaN beats every number, so that a bad step is seen; the NaN test is on bits, which no driver optimises away.
// A window never lies wholly in the padding.

struct Params {
    elements: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel: u32, stride: u32, padding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> argmax: array<u32>;

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let o = group_index(wid, groups) * 64u + lane;
    if (o >= p.elements) {
        return;
    }
    let ow = o % p.out_width;
    let oh = o / p.out_width % p.out_height;
    let plane = o / (p.out_width * p.out_height) * (p.height * p.width);
    // Rows and columns shifted by the padding, so that they stay unsigned.
    let top = max(oh * p.stride, p.padding) - p.padding;
    let left = max(ow * p.stride, p.padding) - p.padding;
    let bottom = min(oh * p.stride + p.kernel - p.padding, p.height);
    let right = min(ow * p.stride + p.kernel - p.padding, p.width);
    var at = top * p.width + left;
    var best = x[plane + at];
    for (var r = 0u; r < p.kernel; r++) {
        // Past a clipped window's edge the edge is read again, which never wins: a branch would cost more.
        let row = min(top + r, bottom - 1u) * p.width;
        //@ for k in 0..KERNEL
        let i$k = row + min(left + $k, right - 1u);
        let v$k = x[plane + i$k];
        let wins$k = v$k > best || (is_nan(v$k) && !is_nan(best));
        best = select(best, v$k, wins$k);
        at = select(at, i$k, wins$k);
        //@ end
    }
    y[o] = best;
    argmax[o] = at;
}
