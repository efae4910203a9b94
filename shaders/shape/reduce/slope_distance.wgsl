// What goes through a variance, without its factor: it times the distance from the mean.
@group(0) @binding(3) var<storage, read> x: array<Held>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;

fn through(d: f32, i: u32, o: u32, j: u32) -> f32 {
    return d * (got(x[place(i)], i) - mean[o]);
}
