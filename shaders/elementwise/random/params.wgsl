// Params and buffers of random: a and b are low and high of a uniform, mean and standard deviation of a normal.

struct Params { seed_low: u32, seed_high: u32, stream: u32, counter: u32, vectors: u32, a: f32, b: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> scalars: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
