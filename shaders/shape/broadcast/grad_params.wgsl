// broadcast.grad: dx[k] = Σ_r dy[k, r], k over the elements of x and r over the places each was copied to, in two
// stages where the sum is long: slice s of a sum covers r from s·slice on and goes to part[s, k], then the same kernel
// adds up the parts. Both k and r are folded from at most two dimensions of dy, with their strides.

struct Params {
    kept: u32, kept_inner: u32, kept_outer_stride: u32, kept_inner_stride: u32,
    length: u32, inner: u32, outer_stride: u32, inner_stride: u32,
    slice: u32, slices: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<Held>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

fn kept_at(k: u32) -> u32 {
    return (k / p.kept_inner) * p.kept_outer_stride + (k % p.kept_inner) * p.kept_inner_stride;
}

fn repeat_at(r: u32) -> u32 {
    return (r / p.inner) * p.outer_stride + (r % p.inner) * p.inner_stride;
}

fn dy_at(i: u32) -> f32 {
    return got(dy[place(i)], i);
}
