// Bilinear without antialias, corners not aligned: output o stands at (o + ½)·n/out − ½, not below 0. In whole numbers of
// 1/(2·out), so that places are exact. Its twin is nearest.wgsl.

fn taps(o: u32, n: u32, out: u32) -> Taps {
    let at = max((2u * o + 1u) * n, out) - out;
    let low = at / (2u * out);
    return Taps(low, min(low + 1u, n - 1u), f32(at - low * (2u * out)) / f32(2u * out));
}

// The outputs whose lower tap is at h − 1 or h, as [from, to).
fn outputs_over(h: u32, n: u32, out: u32) -> vec2<u32> {
    let start = (max(2u * h * out, out + n) - (out + n) + (2u * n - 1u)) / (2u * n);
    let end = (max((2u * h + 3u) * out, n) - n + (2u * n - 1u)) / (2u * n);
    return vec2<u32>(start, min(end, out));
}
