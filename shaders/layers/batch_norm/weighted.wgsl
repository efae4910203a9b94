// Every sample counts as often as its weight says, and every walk is one sample. Its twin is unweighted.wgsl.

@group(0) @binding($LAST) var<storage, read> sample_weights: array<f32>;

const WEIGHTED = true;

// Of walk n of a channel; walks past the last are empty.
fn weight_of(channel: u32, n: u32) -> f32 {
    return sample_weights[channel / p.real * p.walks + min(n, p.walks - 1u)];
}

// Of the sample of a cell.
fn weight_at(cell: u32) -> f32 {
    return sample_weights[cell / p.walk_stride];
}

// How many elements of a channel are in the walks from `first` to before `end`.
fn count_of(channel: u32, first: u32, end: u32) -> f32 {
    var samples = 0.0;
    for (var n = first; n < min(end, p.walks); n++) {
        samples += weight_of(channel, n);
    }
    return samples * f32(p.length) * WIDTH;
}
