// The result of a cooperative product of matrices at strides.

@group(0) @binding(3) var<storage, read_write> c: array<f32>;
