// The rows of a square matrix: what a row is marked with is where its diagonal lies.

fn mark(i: u32) -> vec2<u32> {
    return vec2<u32>(i, 0u);
}
