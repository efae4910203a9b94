// broadcast of halves that are not copied two at a time: each element has its own source, and four lie in two words. The
// last four may reach into the padding, where the last element does.

alias Four = vec2<u32>;

@group(0) @binding(1) var<storage, read> x: array<u32>;

fn half_of(i: u32) -> u32 {
    let at = source(min(i, p.elements - 1u));
    return (x[at / 2u] >> (16u * (at % 2u))) & 0xffffu;
}

fn load(i: u32) -> Four {
    return Four(half_of(i) | (half_of(i + 1u) << 16u), half_of(i + 2u) | (half_of(i + 3u) << 16u));
}
