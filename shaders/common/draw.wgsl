// Draws of a random op on images, the twin of src/kernels/core/draw.rs: a word depends on the seed, the stream and view,
// the epoch, the sample and the block, never on the place in the batch. It needs `p` and `scalars` of the kernel.

fn draw(block: u32, sample: u32) -> vec4<u32> {
    return draw_of(block, sample, 0u);
}

// For the view that is `more` views after the kernel's own.
fn draw_of(block: u32, sample: u32, more: u32) -> vec4<u32> {
    let counter = vec4<u32>(block, sample, u32(scalars[p.epoch]), p.stream + (more << 16u));
    return philox(counter, vec2<u32>(p.seed_low, p.seed_high));
}

fn between(low: f32, high: f32, word: u32) -> f32 {
    return low + (high - low) * unit(word);
}
