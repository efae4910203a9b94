// What every kernel of attention knows: q, y and their gradients [heads of all samples, T, E], k and v [the same, S, E].
// A row of E elements is `width` vec4 (the naive kernels count elements instead); E is padded to whole vec4 before.

struct Params {
    heads: u32,  // of a sample
    total: u32,  // heads of all samples
    t: u32, s: u32,
    width: u32,
    blocks: u32, // of rows that an invocation or a workgroup owns, in a head
    causal: u32,
    scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

// Stands for log 0: no score is as low.
const LOWEST = -1e30;

// Query i sees the keys before this one, of `keys` that there are: with a causal mask those up to its own place.
fn visible(keys: u32, i: u32) -> u32 {
    return select(keys, min(keys, i + 1u), p.causal != 0u);
}
