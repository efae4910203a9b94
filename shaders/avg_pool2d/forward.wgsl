// avg_pool2d: y = Σ of the window / (kernel height · kernel width), the padding counted as zeros. One invocation an
// output element, row after row.

struct Params {
    elements: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, padding_h: u32, padding_w: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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
    let top = max(oh * p.stride_h, p.padding_h) - p.padding_h;
    let left = max(ow * p.stride_w, p.padding_w) - p.padding_w;
    let bottom = min(oh * p.stride_h + p.kernel_h - p.padding_h, p.height);
    let right = min(ow * p.stride_w + p.kernel_w - p.padding_w, p.width);
    var sum = 0.0;
    for (var h = top; h < bottom; h++) {
        // Rows add up on their own first: shorter sums round less.
        var row = 0.0;
        for (var w = left; w < right; w++) {
            row += x[plane + h * p.width + w];
        }
        sum += row;
    }
    y[o] = sum / f32(p.kernel_h * p.kernel_w);
}
