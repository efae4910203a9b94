// Four neighbouring words of x at once: the last axis keeps its place and its length is a multiple of four, as all
// strides then are. Its twins are fetch_words.wgsl and fetch_halves.wgsl.

alias Four = vec4<u32>;

@group(0) @binding(1) var<storage, read> x: array<Four>;

fn fetch(start: vec4<u32>, inner: vec3<u32>, strides: vec4<u32>) -> Four {
    return x[dot(start, strides) / 4u];
}
