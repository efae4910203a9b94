// A loss that looks up nothing for a row.

fn mark(i: u32) -> vec2<u32> {
    return vec2<u32>(0u);
}
