// Every sample counts once. Its twin is weighted.wgsl.

const WEIGHTED = false;

// Of walk n of a channel.
fn weight_of(channel: u32, n: u32) -> f32 {
    return 1.0;
}

// Of the sample of a cell.
fn weight_at(cell: u32) -> f32 {
    return 1.0;
}

// How many elements of a channel are in the walks from `first` to before `end`.
fn count_of(channel: u32, first: u32, end: u32) -> f32 {
    return f32(before(end) - before(first)) * WIDTH;
}
