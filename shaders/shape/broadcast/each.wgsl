// broadcast where the innermost dimension is no multiple of four: each element has its own source. The last vec4 may
// reach into the padding, where the last element does.

alias Four = vec4<u32>;

@group(0) @binding(1) var<storage, read> x: array<u32>;

fn load(i: u32) -> Four {
    let last = p.elements - 1u;
    return Four(x[source(i)], x[source(min(i + 1u, last))], x[source(min(i + 2u, last))],
                x[source(min(i + 3u, last))]);
}
