// A channel goes through the whole batch. Its twin is split.wgsl.

fn start_of(channel: u32) -> u32 {
    return channel * p.channel_stride;
}

// The channel that a cell belongs to.
fn channel_at(cell: u32) -> u32 {
    return cell / p.channel_stride % p.channels;
}

// Where weight and bias of a channel are.
fn affine_of(channel: u32) -> u32 {
    return channel;
}

// Where mean and variance of a channel are.
fn statistic_of(channel: u32) -> u32 {
    return channel;
}
