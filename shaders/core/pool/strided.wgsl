// Windows of one size, a stride apart, over a padded plane: rows (or columns) of x that window `o` covers, its area,
// and the windows over a block of x. Its twin is adaptive.wgsl. Both ends of a range are [from, to).
// Rows and columns are shifted by the padding where they could be negative.

fn span(o: u32, kernel: u32, stride: u32, padding: u32, size: u32) -> vec2<u32> {
    return vec2<u32>(max(o * stride, padding) - padding, min(o * stride + kernel - padding, size));
}

fn window_rows(o: u32) -> vec2<u32> {
    return span(o, p.kernel_h, p.stride_h, p.padding_h, p.height);
}

fn window_columns(o: u32) -> vec2<u32> {
    return span(o, p.kernel_w, p.stride_w, p.padding_w, p.width);
}

// The padding counts.
fn area(rows: vec2<u32>, columns: vec2<u32>) -> f32 {
    return f32(p.kernel_h * p.kernel_w);
}

// The windows over padded places first to last. Strides are constants, so that nothing is divided at run time.
fn rows_over(first: u32, last: u32) -> vec2<u32> {
    let start = (max(first + 1u, p.kernel_h) - p.kernel_h + ($STRIDEH - 1u)) / $STRIDEH;
    return vec2<u32>(start, min(last / $STRIDEH + 1u, p.out_height));
}

fn columns_over(first: u32, last: u32) -> vec2<u32> {
    let start = (max(first + 1u, p.kernel_w) - p.kernel_w + ($STRIDEW - 1u)) / $STRIDEW;
    return vec2<u32>(start, min(last / $STRIDEW + 1u, p.out_width));
}
