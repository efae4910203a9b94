// broadcast where the innermost dimension is copied and a multiple of four: four neighbours are four neighbours of x.

@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;

fn load(i: u32) -> vec4<u32> {
    return x[source(i) / 4u];
}
