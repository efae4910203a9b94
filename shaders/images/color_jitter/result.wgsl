// The result of the pixels from `start` to before `end` of row b, whose mean gray at contrast is `mean`.

@group(0) @binding($Y) var<storage, read_write> y: array<f32>;
//@ for told in 0..TOLD
//@ let columns = Y + 1
@group(0) @binding($columns) var<storage, read_write> told: array<f32>;
//@ end

fn write(b: u32, c: Choice, mean: f32, start: u32, end: u32, lane: u32) {
    //@ for told in 0..TOLD
    // Columns as TOLD in src/kernels/images/color_jitter.rs has them.
    if (lane == 0u && start == 0u) {
        told[10u * b] = select(0.0, 1.0, c.apply);
        //@ for k in 0..4
        told[10u * b + 1u + $k] = f32(c.drawn.order[$k]);
        told[10u * b + 5u + $k] = c.drawn.factor[$k];
        //@ end
        told[10u * b + 9u] = select(0.0, 1.0, c.to_gray);
    }
    //@ end
    let all = plan(c.drawn, false, mean);
    let base = b * $C * p.plane;
    for (var i = start + lane; i < end; i += 64u) {
        let v = load(base + i);
        var u = select(v, jitter(v, all), c.apply);
        u = select(u, vec3<f32>(gray(u)), c.to_gray);
        //@ for c in 0..C
        y[base + $c * p.plane + i] = u[$c];
        //@ end
    }
}
