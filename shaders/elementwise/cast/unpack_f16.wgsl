// The two half floats of a word as floats, the low half first.

alias From = u32;
alias To = vec2<f32>;

fn converted(x: From, i: u32) -> To {
    return To(float(x & 0xffffu), float(x >> 16u));
}
