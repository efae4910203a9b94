// What every kernel of attention knows: q, y and their gradients have T rows of E elements for each head of each sample, k
// and v have S. Where a row begins, strides.wgsl says; a gradient lies as what it is the gradient of. lse and stats are
// [heads of all samples, T]. A row is `width` vec4, and so are strides (the naive kernels count elements, attention.delta
// the cells of its rows); where E is no multiple of 4, rows are copied to padded ones before.

struct Params {
    heads: u32,  // of a sample
    total: u32,  // heads of all samples
    t: u32, s: u32,
    width: u32,
    blocks: u32, // of rows that an invocation or a workgroup owns, in a head
    causal: u32,
    scale: f32,
    q: Strides, k: Strides, v: Strides, y: Strides,
}
@group(0) @binding(0) var<uniform> p: Params;

// Stands for log 0: no score is as low.
const LOWEST = -1e30;

// Query i sees the keys before this one, of `keys` that there are: with a causal mask those up to its own place.
fn visible(keys: u32, i: u32) -> u32 {
    return select(keys, min(keys, i + 1u), p.causal != 0u);
}
