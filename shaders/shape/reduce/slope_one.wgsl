// The slope of a sum: 1 at every term.

fn slope(i: u32, o: u32, j: u32) -> f32 {
    return 1.0;
}
