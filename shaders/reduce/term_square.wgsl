// A term of a variance: the squared distance from the mean, known from an earlier pass, so that nothing cancels.
@group(0) @binding(3) var<storage, read> mean: array<f32>;

fn term(o: u32, at: u32, j: u32) -> Acc {
    let d = x[at] - mean[o];
    return d * d;
}
