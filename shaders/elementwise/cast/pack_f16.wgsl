// Two floats as two half floats in a word, the first in the low half; the half past the last element is 0.

alias From = vec2<f32>;
alias To = u32;

fn converted(x: From, i: u32) -> To {
    return half(x.x) | (select(0u, half(x.y), 2u * i + 1u < p.elements) << 16u);
}
