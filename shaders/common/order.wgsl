// Floats as integers of the same order: −inf first, both zeros equal, +inf, then every NaN as one number. Whole-number
// comparisons are exact everywhere; a driver may assume that no float is a NaN. Keys stay below 0xfffffff1.

fn key(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) {
        return 0xfffffff0u;
    }
    if (size == 0u || bits == size) {
        return size | 0x80000000u;
    }
    return ~bits;
}

// The float that a key was made of; of the zeros +0, of the NaNs one of them.
fn keyed(k: u32) -> f32 {
    let bits = select(~k, k & 0x7fffffffu, k >= 0x80000000u);
    return bitcast<f32>(select(bits, 0x7fc00000u, k == 0xfffffff0u));
}
