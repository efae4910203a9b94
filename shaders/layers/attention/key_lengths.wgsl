// The first lengths[sample] keys count, the rest are padding; a length past the end is the end. Lengths are bound behind the
// kernel's own buffers, of which $LAST is the last. Its twin is all_keys.wgsl.

//@ let LENGTHS = LAST + 1
@group(0) @binding($LENGTHS) var<storage, read> lengths: array<u32>;

fn keys_of(head: u32) -> u32 {
    return min(lengths[head / p.heads], p.s);
}
