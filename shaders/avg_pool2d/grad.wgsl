// avg_pool2d.grad: each element of dx adds dy of the windows over it, in row order, divided by the window's size. One
// invocation an input element.

struct Params {
    elements: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, stride_h: u32, stride_w: u32, padding_h: u32, padding_w: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.elements) {
        return;
    }
    let at = i % (p.height * p.width);
    // Windows over padded row h start at rows h − kernel + 1 to h.
    let h = at / p.width + p.padding_h;
    let w = at % p.width + p.padding_w;
    let plane = i / (p.height * p.width) * (p.out_height * p.out_width);
    let bottom = min(h / p.stride_h + 1u, p.out_height);
    let right = min(w / p.stride_w + 1u, p.out_width);
    let top = first_window(h, p.kernel_h, p.stride_h);
    let left = first_window(w, p.kernel_w, p.stride_w);
    var sum = 0.0;
    // At most $ROWS by $COLUMNS windows lie over an element; those that do not count as zero instead of branching.
    for (var r = top; r < top + $ROWS; r++) {
        let row = plane + min(r, p.out_height - 1u) * p.out_width;
        //@ for k in 0..COLUMNS
        sum += select(0.0, dy[row + min(left + $k, p.out_width - 1u)], r < bottom && left + $k < right);
        //@ end
    }
    dx[i] = sum / f32(p.kernel_h * p.kernel_w);
}

// The first window over padded position q: ⌈(q − kernel + 1)/stride⌉, not below 0.
fn first_window(q: u32, kernel: u32, stride: u32) -> u32 {
    return (max(q + 1u, kernel) - kernel + stride - 1u) / stride;
}
