// Two floats as two half floats in a word, the first in the low half; the half past the last element is 0. By whole
// numbers and not by pack2x16float, whose rounding and overflow are the driver's: this rounds to the nearest, ties to
// even, past the largest half to infinity, as PyTorch does.

alias From = vec2<f32>;
alias To = u32;

fn half(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    let sign = (bits >> 16u) & 0x8000u;
    if (size > 0x7f800000u) {
        return sign | 0x7e00u;
    }
    if (size >= 0x47800000u) {
        return sign | 0x7c00u;
    }
    if (size < 0x38800000u) {
        // Below 2^-14 halves are spaced by 2^-24, as floats from 0.5 to 1 are: adding 0.5 rounds to that.
        return sign | (bitcast<u32>(bitcast<f32>(size) + 0.5) - 0x3f000000u);
    }
    return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u);
}

fn converted(x: From, i: u32) -> To {
    return half(x.x) | (select(0u, half(x.y), 2u * i + 1u < p.elements) << 16u);
}
