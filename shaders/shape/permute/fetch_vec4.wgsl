// Four neighbouring words of x at once: the last axis keeps its place and its length is a multiple of four, as all
// strides then are. Its twin is fetch_words.wgsl.
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;

fn fetch(start: vec4<u32>, inner: vec3<u32>, strides: vec4<u32>) -> vec4<u32> {
    return x[dot(start, strides) / 4u];
}
