// Nearest as PyTorch's: output o is the input at ⌊o·n/out⌋. Its twin is bilinear.wgsl.

fn taps(o: u32, n: u32, out: u32) -> Taps {
    let at = o * n / out;
    return Taps(at, at, 0.0);
}

// The outputs whose tap is at h, as [from, to).
fn outputs_over(h: u32, n: u32, out: u32) -> vec2<u32> {
    return vec2<u32>((h * out + n - 1u) / n, ((h + 1u) * out + n - 1u) / n);
}
