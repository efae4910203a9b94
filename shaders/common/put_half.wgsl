// What a kernel makes, a half at a time, rounded to the nearest. Two invocations may own the halves of one word, where
// a row or a plane has an odd number of elements: so each clears and sets the bits of its own half alone, by atomics.
// They are whole numbers, and nobody else writes those bits, so the order does not matter and no bit depends on it. After
// common/half.wgsl. Its twins are put_f32.wgsl and put_halves.wgsl.

@group(0) @binding($MADE) var<storage, read_write> made: array<atomic<u32>>;

fn put(i: u32, v: f32) {
    let shift = 16u * (i % 2u);
    atomicAnd(&made[i / 2u], 0xffff0000u >> shift);
    atomicOr(&made[i / 2u], half(v) << shift);
}

// Two neighbours of which the first is in the low half of a word: nobody else has a half of it.
fn put_both(i: u32, v: vec2<f32>) {
    atomicStore(&made[i / 2u], half(v.x) | (half(v.y) << 16u));
}

fn taken(i: u32) -> f32 {
    return float((atomicLoad(&made[i / 2u]) >> (16u * (i % 2u))) & 0xffffu);
}
