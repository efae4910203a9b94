// The angle of a sample is drawn: with a probability uniform between two bounds. Block 0: rotate?, angle.
@group(0) @binding(3) var<storage, read> indices: array<u32>;
@group(0) @binding(4) var<storage, read> scalars: array<f32>;

fn degrees_of(sample: u32) -> f32 {
    let d = draw(0u, indices[sample]);
    return select(0.0, between(p.low, p.high, d.y), unit(d.x) < p.probability);
}
