// max_pool2d.grad: each element of dx adds dy of the windows that chose it, in row order: no two invocations write the
// same element. One invocation an input element.

struct Params {
    elements: u32, height: u32, width: u32, out_height: u32, out_width: u32,
    kernel: u32, stride: u32, padding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> argmax: array<u32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.elements) {
        return;
    }
    let at = i % (p.height * p.width);
    // Windows over padded row h start at rows h − kernel + 1 to h.
    let h = at / p.width + p.padding;
    let w = at % p.width + p.padding;
    let plane = i / (p.height * p.width) * (p.out_height * p.out_width);
    let bottom = min(h / p.stride + 1u, p.out_height);
    let right = min(w / p.stride + 1u, p.out_width);
    let top = first_window(h);
    let left = first_window(w);
    var sum = 0.0;
    // At most $REACH windows a direction lie over an element; those that do not count as zero instead of branching.
    for (var r = top; r < top + $REACH; r++) {
        let row = plane + min(r, p.out_height - 1u) * p.out_width;
        //@ for k in 0..REACH
        let o$k = row + min(left + $k, p.out_width - 1u);
        sum += select(0.0, dy[o$k], r < bottom && left + $k < right && argmax[o$k] == at);
        //@ end
    }
    dx[i] = sum;
}

// The first window over padded position q: ⌈(q − kernel + 1)/stride⌉, not below 0.
fn first_window(q: u32) -> u32 {
    return (max(q + 1u, p.kernel) - p.kernel + p.stride - 1u) / p.stride;
}
