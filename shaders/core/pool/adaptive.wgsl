// Windows that share a plane out evenly, as PyTorch's adaptive pooling: window `o` of `out` over `size` places covers
// ⌊o·size/out⌋ to ⌈(o + 1)·size/out⌉. Its twin is strided.wgsl. Both ends of a range are [from, to).

fn span(o: u32, size: u32, out: u32) -> vec2<u32> {
    return vec2<u32>(o * size / out, ((o + 1u) * size + out - 1u) / out);
}

fn window_rows(o: u32) -> vec2<u32> {
    return span(o, p.height, p.out_height);
}

fn window_columns(o: u32) -> vec2<u32> {
    return span(o, p.width, p.out_width);
}

fn area(rows: vec2<u32>, columns: vec2<u32>) -> f32 {
    return f32((rows.y - rows.x) * (columns.y - columns.x));
}

// The windows over places first to last: the same formula with size and out exchanged.
fn rows_over(first: u32, last: u32) -> vec2<u32> {
    return vec2<u32>(span(first, p.out_height, p.height).x, span(last, p.out_height, p.height).y);
}

fn columns_over(first: u32, last: u32) -> vec2<u32> {
    return vec2<u32>(span(first, p.out_width, p.width).x, span(last, p.out_width, p.width).y);
}
