// Maxima: the key of the largest term and which one it is, among equals the first. Its twin is sum.wgsl.
@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> index: array<u32>;

alias Acc = vec2<u32>;

// Below every key.
fn start() -> Acc {
    return vec2<u32>(0u, 0xffffffffu);
}

fn merge(a: Acc, b: Acc) -> Acc {
    return select(a, b, (b.x > a.x) | ((b.x == a.x) & (b.y < a.y)));
}

fn store(slot: u32, a: Acc) {
    y[slot] = keyed(a.x);
    index[slot] = a.y;
}
