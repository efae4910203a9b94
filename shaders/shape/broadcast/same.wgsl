// broadcast where the innermost dimension is repeated and a multiple of four: four neighbours are one element of x.

alias Four = vec4<u32>;

@group(0) @binding(1) var<storage, read> x: array<u32>;

fn load(i: u32) -> Four {
    return Four(x[source(i)]);
}
