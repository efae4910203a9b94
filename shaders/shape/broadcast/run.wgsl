// broadcast where the innermost dimension is copied and a multiple of four: four neighbours are four neighbours of x.

alias Four = vec4<u32>;

@group(0) @binding(1) var<storage, read> x: array<Four>;

fn load(i: u32) -> Four {
    return x[source(i) / 4u];
}
