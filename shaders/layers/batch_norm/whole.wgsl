// A channel goes through the whole batch. Its twin is split.wgsl.

fn start_of(channel: u32) -> u32 {
    return channel * p.channel_stride;
}

// The sub-batch of the four rows number `depth`.
fn split_of(depth: u32) -> u32 {
    return 0u;
}

// Where weight and bias of a channel are.
fn affine_of(channel: u32) -> u32 {
    return channel;
}

// Where mean and variance of a channel are.
fn statistic_of(channel: u32) -> u32 {
    return channel;
}
