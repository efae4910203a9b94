// The two half floats of a word as floats, the low half first; exact. By whole numbers and not by unpack2x16float: naga
// takes that for a use of half floats, which not every adapter has.

alias From = u32;
alias To = vec2<f32>;

fn float(half: u32) -> f32 {
    let sign = (half & 0x8000u) << 16u;
    let size = half & 0x7fffu;
    if (size < 0x400u) {
        // Below 2^-14: so many steps of 2^-24.
        return bitcast<f32>(bitcast<u32>(f32(size) * 5.9604645e-8) | sign);
    }
    let bits = select((size << 13u) + 0x38000000u, (size << 13u) | 0x7f800000u, size >= 0x7c00u);
    return bitcast<f32>(bits | sign);
}

fn converted(x: From, i: u32) -> To {
    return To(float(x & 0xffffu), float(x >> 16u));
}
