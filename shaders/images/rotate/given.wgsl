// The angle of a sample is given.
@group(0) @binding(3) var<storage, read> angles: array<f32>;

fn degrees_of(sample: u32) -> f32 {
    return angles[sample];
}
