// The spread about a rough mean m, known from an earlier pass: Σ (x_j − m)² and Σ (x_j − m). The second is small and
// mends the first and m (Chan, Golub and LeVeque 1983, eq. 1.7), so that a mean far from zero costs no accuracy.
@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> second: array<f32>;

alias Acc = vec2<f32>;

fn start() -> Acc {
    return vec2<f32>(0.0);
}

fn merge(a: Acc, b: Acc) -> Acc {
    return a + b;
}
