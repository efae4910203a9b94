// Half floats (IEEE 754 binary16) in the low 16 bits of a word, from and to f32. By whole numbers and not by
// pack2x16float and unpack2x16float: rounding, overflow and what happens to the smallest halves are the driver's there,
// and naga asks for a capability that not every adapter has. `half` rounds to the nearest, ties to even, past the largest
// half to infinity, as PyTorch does; `float` is exact. Each case is a value and none a branch: kernels convert in unrolled
// loops, and a compiler that keeps branches (SwiftShader's) does not end there.

fn half(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    // Below 2^-14 halves are spaced by 2^-24, as floats from 0.5 to 1 are: adding 0.5 rounds to that.
    let small = bitcast<u32>(bitcast<f32>(size) + 0.5) - 0x3f000000u;
    let normal = (size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u;
    let finite = select(normal, small, size < 0x38800000u);
    let number = select(finite, 0x7c00u, size >= 0x47800000u);
    return ((bits >> 16u) & 0x8000u) | select(number, 0x7e00u, size > 0x7f800000u);
}

fn float(h: u32) -> f32 {
    let size = h & 0x7fffu;
    let small = bitcast<u32>(f32(size) * 5.9604645e-8); // below 2^-14: so many steps of 2^-24
    let normal = select((size << 13u) + 0x38000000u, (size << 13u) | 0x7f800000u, size >= 0x7c00u);
    return bitcast<f32>(select(normal, small, size < 0x400u) | ((h & 0x8000u) << 16u));
}
