// A term of a spread: the distance from the rough mean, squared and as it is.
@group(0) @binding(4) var<storage, read> rough: array<f32>;

fn term(o: u32, at: u32, j: u32) -> Acc {
    let d = got(x[place(at)], at) - rough[o];
    return vec2<f32>(d * d, d);
}
