// How the kernels of batch_norm and group_norm find the elements of a channel; lengths and strides count cells.
//
// A channel is `total` cells in `walks` walks of `length` cells, `step` apart; walk n of channel c starts at
// start_of(c) + n·walk_stride (whole.wgsl, split.wgsl). For x [N, C, H, W] a walk is the plane of one image; for
// x [N, C] it is a run of images. A chunk is `per` walks in a row, the unit of work; partial results are stored by
// (chunk, channel). x has `real` channels; in S sub-batches there are S·real of them to walk.
//
// Kernels that write every cell see a sub-batch as rows of `width` cells, one or more whole images, so that cells one
// below the other are of one channel: an invocation owns four of them (cells.wgsl). A sub-batch is `depth` times four
// rows, all together are `depths`.

struct Params {
    channels: u32, chunks: u32, per: u32, length: u32,
    total: u32, step: u32, walk_stride: u32, channel_stride: u32,
    walks: u32, real: u32, share: u32, split_stride: u32,
    eps: f32, width: u32, depth: u32, depths: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

// Cells of a channel before walk n; the last walk may be shorter than the others.
fn before(n: u32) -> u32 {
    return min(n * p.length, p.total);
}

// 1 / σ. Not inverseSqrt, which may be off by more.
fn rstd_of(variance: f32) -> f32 {
    return 1.0 / sqrt(variance + p.eps);
}
