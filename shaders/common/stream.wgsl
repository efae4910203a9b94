// Words of a random op on a tensor, the twin of base::rng::Rng::new(seed, stream, counter): word i is the i-th that the
// host draws. It needs `p` and `scalars` of the kernel.

fn words(block: u32) -> vec4<u32> {
    return philox(vec4<u32>(block, u32(scalars[p.counter]), 0u, p.stream), vec2<u32>(p.seed_low, p.seed_high));
}
