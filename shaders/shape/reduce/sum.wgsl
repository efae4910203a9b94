// Sums: what a lane holds, and where it goes. Its twin is most.wgsl.
@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

alias Acc = f32;

fn start() -> Acc {
    return 0.0;
}

fn merge(a: Acc, b: Acc) -> Acc {
    return a + b;
}

fn store(slot: u32, a: Acc) {
    y[slot] = a * p.scale;
}
