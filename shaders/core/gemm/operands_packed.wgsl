// The operands of a product in f16 as words of two, for adapters without shader-f16: element i is in word i / 2, whatever
// row that is, so an odd row may begin within a word. After common/half.wgsl.

@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;

fn a_get(i: u32) -> f32 {
    return float((a[i / 2u] >> (16u * (i % 2u))) & 0xffffu);
}

fn b_get(i: u32) -> f32 {
    return float((b[i / 2u] >> (16u * (i % 2u))) & 0xffffu);
}
