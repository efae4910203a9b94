// A channel goes through one sub-batch: channel s·real + c is channel c of sub-batch s, which begins split_stride cells
// after the last one; `share` channels in a row have their statistics in common. Its twin is whole.wgsl.

fn start_of(channel: u32) -> u32 {
    return channel / p.real * p.split_stride + channel % p.real * p.channel_stride;
}

// The sub-batch of the four rows number `depth`.
fn split_of(depth: u32) -> u32 {
    return depth / p.depth;
}

// Where weight and bias of a channel are.
fn affine_of(channel: u32) -> u32 {
    return channel % p.real;
}

// Where mean and variance of a channel are.
fn statistic_of(channel: u32) -> u32 {
    return channel / p.share;
}
